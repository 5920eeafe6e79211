# The study, its file names, and what every rule says to the command line.

import os
import shlex
import sys
from pathlib import Path

from convergent.study import Study, Unit, command_options, resources

# Jobs call `convergent`: the one that belongs to the Python that runs Snakemake,
# whether or not its environment is activated.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

# The last configuration file and what --config overrides in it
chosen = dict(
    path=workflow.configfiles[-1], overrides=workflow.config_settings.config or {}
)
study = Study.load(**chosen)
paths = study.paths

# `--study FILE --set key=value ...`: the same study for every command of this run
STUDY = shlex.join(command_options(**chosen))

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
