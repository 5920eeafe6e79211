# The study, its jobs, and what every rule says to the command line.

import os
import shlex
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.path_modifier import PathModifier

from convergent.errors import ConvergentError
from convergent.ops.records import known_identity
from convergent.ops.submission import wait_at_limits
from convergent.study import Study, environment

# The configuration as Snakemake has merged it: files, --config, and what a module was given.
# --config is of the whole workflow: of a module (docs/others.md), what it was given counts alone.
is_module = not workflow.modifier.is_main_snakefile()
command_line = dict(workflow.config_settings.config or {})
overrides = {} if is_module else command_line
files = [str(Path(path)) for path in workflow.configfiles]
dag, software = workflow.dag_settings, workflow.deployment_settings
deployed = {str(method) for method in software.deployment_method} if software else set()
image = None
try:
    environment.check_command_line(command_line)
    called = (
        environment.module_study(__name__, config) if is_module else ":".join(files)
    )
    base = environment.tables_folder(files, config)
    study = Study.of(config, file=called or "config", base=base, overrides=overrides)

    # A module's `prefix` moves the results, here and for commands; Snakemake then moves nothing.
    moved = environment.moved_results(
        study, workflow.modifier.path_modifier.replace_prefix
    )
    if moved != study.config.results:
        overrides = {"results": moved}
        study = Study.of(config, file=called, base=base, overrides=overrides)
        workflow.modifier.path_modifier = PathModifier(None, None, workflow)

    # Commands learn from the environment which study they work for: options would make a change
    # of how it is run (a device, a folder) look to Snakemake like a change of what it computes.
    environment.share_with_jobs(
        config,
        file=study.file,
        base=base,
        root=study.paths.root,
        overrides=overrides,
        anew=environment.fits_forced(study, dag, workflow.modifier.modify_rulename),
        deployed=deployed,
    )
    if software:
        image = environment.container_image(study.config.container, deployed)
except ConvergentError as error:
    raise WorkflowError(str(error)) from None
graph, paths = study.graph, study.paths

# Where SLURM takes no more jobs for now, submitting waits, and says so in this run's log.
if workflow.is_main_process:
    wait_at_limits(logger.warning)


# All jobs run in the image that the study names (--config container=convergent.sif).
if image:

    container: image


# The programs of a rule's own environment come first, whatever the shell that started Snakemake had
# active; rules of others that have none keep their PATH.
if "conda" in deployed:
    active = shlex.quote(os.environ.get("CONDA_PREFIX", ""))
    active = active.replace("{", "{{").replace("}", "}}")
    shell.prefix(
        f'set -eo pipefail; [ "$CONDA_PREFIX" = {active} ] || PATH="$CONDA_PREFIX/bin:$PATH"; set -u; '
    )


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
