# The study, its file names, and what every rule says to the command line.

import shlex

from convergent.study import (
    Study,
    Unit,
    call_own_convergent,
    command_options,
    resources,
)

call_own_convergent()

# The last configuration file and what --config overrides in it
chosen = dict(
    path=workflow.configfiles[-1], overrides=workflow.config_settings.config or {}
)
study = Study.load(**chosen)
paths = study.paths

# `--study FILE --set key=value ...`: the same study for every command of this run. It is no
# parameter of the rules: how a study is run must not look like a change of what it computes.
STUDY = shlex.join(command_options(**chosen)).replace("{", "{{").replace("}", "}}")

# One job makes one layer, or all layers of a checkpoint, or of a model: the same stores.
BY_LAYER = study.config.granularity == "layer"


wildcard_constraints:
    dataset=r"[A-Za-z0-9._-]+",
    model=r"[A-Za-z0-9._-]+",
    checkpoint=r"[A-Za-z0-9._-]+",
    layer=r"[^/]+",
    subject=r"[A-Za-z0-9._-]+",
    family=r"[A-Za-z0-9._-]+",


def unit_of(wildcards):
    return Unit(wildcards.model, wildcards.checkpoint, wildcards.get("layer"))


def trained_record(wildcards):
    return [paths.trained(wildcards.model)] if study.trains(wildcards.model) else []
