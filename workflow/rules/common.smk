# The study, its jobs, and what every rule says to the command line.

from pathlib import Path

from convergent.ops.records import known_identity
from convergent.study import Study, container_image, share_with_jobs, tables_folder

# The configuration as Snakemake has merged it: files, --config, and what a module was given.
overrides = dict(workflow.config_settings.config or {})
files = [str(Path(path)) for path in workflow.configfiles]
base = tables_folder(files, config)
study = Study.of(
    config, file=":".join(files) or "config", base=base, overrides=overrides
)
graph, paths = study.graph, study.paths

# Commands learn from the environment which study they work for: options would make a change of
# how it is run (a device, a folder) look to Snakemake like a change of what it computes.
dag = workflow.dag_settings
software = workflow.deployment_settings
deployed = {str(method) for method in software.deployment_method} if software else set()
share_with_jobs(
    config,
    file=study.file,
    base=base,
    overrides=overrides,
    forced=["fit"] if dag and dag.forceall else dag and dag.forcerun,
    deployed=deployed,
)

# All jobs run in the image that the study names (--config container=convergent.sif).
if software and (image := container_image(study.config.container, deployed)):

    container: image


# The environment's own programs come first, whatever the shell that started Snakemake had active.
if "conda" in deployed:
    shell.prefix('set -euo pipefail; PATH="$CONDA_PREFIX/bin:$PATH"; ')


wildcard_constraints:
    dataset=r"[A-Za-z0-9._-]+",
    model=r"[A-Za-z0-9._-]+",
    checkpoint=r"[A-Za-z0-9._-]+",
    layer=r"[^/]+",
    subject=r"[A-Za-z0-9._-]+",
    family=r"[A-Za-z0-9._-]+",


# A job's identity: the one that Snakemake knows its files under, as long as they are what the
# study asks for (a metric or a subject was removed, or a killed Snakemake's jobs went on).
def identity(rule):
    return known_identity(rule, workflow)


def tell_the_end(log, succeeded):
    from convergent.ops.mail import mail_at_end

    defaults = workflow.resource_settings.default_resources or {}
    mail_at_end(study.name, log, succeeded=succeeded, defaults=defaults)
