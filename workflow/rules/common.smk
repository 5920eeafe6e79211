# The study, its file names, and what every rule says to the command line.

from convergent.ops.submission import wait_at_limits
from convergent.study import (
    Study,
    Unit,
    container_image,
    converging_files,
    final_scores,
    resources,
    share_with_jobs,
)

# The last configuration file and what --config overrides in it
chosen = dict(
    path=workflow.configfiles[-1], overrides=workflow.config_settings.config or {}
)
study = Study.load(**chosen)
paths = study.paths

# Commands learn from the environment which study they work for: options would make a change of
# how it is run (a device, a folder) look to Snakemake like a change of what it computes.
dag = workflow.dag_settings
software = workflow.deployment_settings
deployed = {str(method) for method in software.deployment_method} if software else set()
share_with_jobs(
    **chosen,
    forced=["fit"] if dag and dag.forceall else dag and dag.forcerun,
    deployed=deployed,
)

# Where SLURM takes no more jobs for now, submitting waits, and says so in this run's log.
if workflow.is_main_process:
    wait_at_limits(logger.warning)

# All jobs run in the image that the study names (--config container=convergent.sif).
if software and (image := container_image(study.config.container, deployed)):

    container: image


# The environment's own programs come first, whatever the shell that started Snakemake had active.
if "conda" in deployed:
    shell.prefix('set -euo pipefail; PATH="$CONDA_PREFIX/bin:$PATH"; ')


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


def tell_the_end(log, succeeded):
    from convergent.ops.mail import mail_at_end

    defaults = workflow.resource_settings.default_resources or {}
    mail_at_end(study.name, log, succeeded=succeeded, defaults=defaults)
