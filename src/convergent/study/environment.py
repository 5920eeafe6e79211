"""What jobs find in their environment: the study, its overrides, the code, the node's own disk."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import ConfigError
from convergent.study.config import read_files

if TYPE_CHECKING:
    from convergent.study.study import Study

STUDY = "CONVERGENT_STUDY"
CONFIG = "CONVERGENT_CONFIG"
ANEW = "CONVERGENT_FIT_ANEW"
CODE = "CONVERGENT_CODE"
SOURCE = "CONVERGENT_SOURCE"
# Log of the command that reads this: of several modules in a workflow, it says whose the job is.
LOG = "CONVERGENT_LOG"
# How the study of a module is called; it is shared in variables of its own.
_MODULE = "module:"
# Linux gives a process no longer variable than 128 KiB.
_LARGEST = 120_000


def share_with_jobs(
    config: Mapping[str, Any],
    *,
    file: str,
    base: str | Path,
    root: str,
    overrides: Mapping[str, Any],
    anew: bool = False,
    deployed: Collection[str] = (),
) -> None:
    """Let the commands of this run find their study, and the ``convergent`` of this Python.

    Snakemake calls it on the login node and again in each job, before the first command; in a
    workflow of several modules once for each.

    Parameters
    ----------
    config : mapping
        The study's configuration as Snakemake has merged it.
    file : str
        Where it comes from, for messages; of a module its `module_study`.
    base : str or Path
        Folder that its tables are relative to; jobs run in the same working directory.
    root : str
        Folder of its results.
    overrides : mapping
        What ``--config`` says, which is in ``config`` too.
    anew : bool
        Whether fits are made again from nothing (``--forcerun``).
    deployed : collection of str
        How Snakemake gives jobs their software (``--software-deployment-method``). The
        ``convergent`` of this Python is then not put first, and the jobs' must be the same code.

    Raises
    ------
    ConfigError
        The configuration is too large for the environment of a job, or another module of this
        workflow has the same name.
    """
    study = {"config": config, "file": file, "base": str(base), "overrides": overrides}
    shared = json.dumps({**study, "root": root}, default=str)
    size = len(shared.encode())
    if size > _LARGEST:
        raise ConfigError(
            f"the configuration has {size:,} bytes, and a job can be given {_LARGEST:,}",
            where=file,
            fix="move lists of models or families from `select` into tables of their own",
        )
    if file.startswith(_MODULE) and _of_modules.setdefault(file, shared) != shared:
        raise ConfigError(
            "two modules of this workflow have this name, and different configurations",
            where=file,
            fix="give each module its own name",
        )
    os.environ[STUDY] = file
    os.environ[_own(CONFIG, file)] = shared
    os.environ[NODE_TMPDIR] = os.environ.get("TMPDIR", "")
    if anew:
        os.environ[_own(ANEW, file)] = "1"
    if deployed:
        os.environ[CODE] = code_digest()
        os.environ[SOURCE] = str(Path(__file__).resolve().parents[3])
        return
    # the environment need not be activated, on the login node or on a compute node
    own = str(Path(sys.executable).parent)
    before = os.environ.get("PATH", os.defpath)
    if before.split(os.pathsep)[0] != own:
        os.environ["PATH"] = os.pathsep.join((own, before))


_of_modules: dict[str, str] = {}


def _own(variable: str, study: str) -> str:
    """Name of a variable for one study of a workflow: each module has its own."""
    name = study.removeprefix(_MODULE)
    return variable if name == study else f"{variable}_{name}"


def module_study(name: str, config: Mapping[str, Any]) -> str:
    """How the study of a module is called, by messages and between Snakemake and its jobs.

    Parameters
    ----------
    name : str
        Of the module.
    config : mapping
        That it was given.

    Raises
    ------
    ConfigError
        It was given none.
    """
    called = f"{_MODULE}{name}"
    if not config:
        raise ConfigError(
            "the module has no configuration",
            where=called,
            fix="add `config: config` to it, or the section of your configuration that is the "
            'study (`config: config["convergent"]`)',
        )
    return called


def moved_results(study: Study, moved: Callable[[str], str]) -> str:
    """Folder of a module's results, where ``prefix`` or ``replace_prefix`` moves its files.

    Parameters
    ----------
    study : Study
        As its configuration says.
    moved : callable
        Gives the new name of a file.

    Returns
    -------
    str
        For the key ``results``.

    Raises
    ------
    ConfigError
        Some files of the study would move otherwise than its folder; commands could not find them.
    """
    before, tail = f"{study.paths.root}/", f"/{study.name}/"
    after = moved(before)
    files = _patterns(study)
    if not after.endswith(tail) or any(
        moved(file) != after + file.removeprefix(before) for file in files
    ):
        raise ConfigError(
            "`replace_prefix` moves a part of the study's files, or renames its folder",
            where=study.file,
            fix="move the whole folder of results (the key `results`), or use `prefix`",
        )
    return after.removesuffix(tail)


def _patterns(study: Study) -> Iterator[str]:
    from convergent.study.graph import STAGES

    for stage in STAGES:
        for rule in study.graph.rules(stage):
            yield from (*rule.output, rule.log)


def fits_forced(study: Study, dag: Any, renamed: Callable[[str], str]) -> bool:
    """Whether a run of Snakemake makes fits again that are there, from nothing.

    Parameters
    ----------
    study : Study
    dag : snakemake.settings.types.DAGSettings or None
    renamed : callable
        Name of a rule in the workflow, of its name here.
    """
    forced = [str(name) for name in (dag and dag.forcerun) or ()]
    fits = {renamed(rule.name) for rule in study.graph.rules("fit")} if forced else set()
    folder = f"{study.paths.root}/alignment/"
    return bool(dag and dag.forceall) or any(
        name in fits or name.startswith(folder) for name in forced
    )


def check_command_line(overrides: Mapping[str, Any]) -> None:
    """Refuse what would not reach jobs as it was given.

    Parameters
    ----------
    overrides : mapping
        What ``--config`` says.

    Raises
    ------
    ConfigError
        It has a variable, which the login node's shell would replace on its way.
    """
    for key, value in overrides.items():
        if "$" in json.dumps({key: value}, default=str):
            raise ConfigError(
                "a variable given with --config is replaced before a job starts, often by nothing",
                where=str(key),
                fix="write it in the study's file, where jobs read it as it is",
            )


def container_image(setting: str | None, deployed: Collection[str]) -> str | None:
    """Name the image that jobs run in.

    Parameters
    ----------
    setting : str or None
        ``container`` of the study: a file, or an address such as ``docker://...``.
    deployed : collection of str
        As of `share_with_jobs`.

    Raises
    ------
    ConfigError
        An image is named and Snakemake is not told to use one, or the other way round; or there is
        no such file.
    """
    where = "container"
    asked = "--software-deployment-method apptainer"
    if "apptainer" not in deployed:
        if setting is not None:
            raise ConfigError(
                f"'{setting}' is named, and jobs would run without it",
                where=where,
                fix=f"add {asked}, or leave it out (--config container=null)",
            )
        return None
    if setting is None:
        raise ConfigError(
            f"{asked} is given, and no image is named",
            where=where,
            fix="add --config container=convergent.sif (envs/convergent.def makes one)",
        )
    if "://" not in setting and not Path(setting).exists():
        raise ConfigError(
            f"there is no image '{setting}'",
            where=where,
            fix="apptainer build convergent.sif envs/convergent.def, or give its path",
        )
    return setting


@cache
def code_digest() -> str:
    """Fingerprint of this package's modules."""
    root, found = Path(__file__).resolve().parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).as_posix()):
        found.update(path.relative_to(root).as_posix().encode() + b"\0")
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


def check_code() -> None:
    """Refuse to work for a Snakemake whose package is another: its plan would not be of this code.

    Raises
    ------
    ConfigError
    """
    wanted = os.environ.get(CODE)
    if wanted is not None and wanted != code_digest():
        raise ConfigError(
            "the convergent that jobs find is not the code of the one that runs Snakemake",
            where=str(Path(__file__).parents[1]),
            fix="make the image or the environment again from this repository",
        )


def fits_anew() -> bool:
    """Whether the run that started this process makes fits again that are there."""
    shared = _shared()
    return shared is not None and bool(os.environ.get(_own(ANEW, shared["file"])))


def shared_study() -> dict[str, Any] | None:
    """Arguments of `Study.of` that a workflow left for this process; None outside of one."""
    found = _shared()
    if found is None:
        return None
    return {
        "raw": found["config"],
        "file": found["file"],
        "base": Path(found["base"]),
        "overrides": found["overrides"],
    }


def _shared() -> dict[str, Any] | None:
    """What was shared with this job; of several modules by the one whose log it writes."""
    there = [name for name in os.environ if name == CONFIG or name.startswith(f"{CONFIG}_")]
    found = [json.loads(os.environ[name]) for name in there]
    if len(found) > 1:
        log = os.environ.get(LOG, "")
        found = [one for one in found if log.startswith(f"{one['root']}/")]
    return max(found, key=lambda one: len(one["root"]), default=None)


def tables_folder(files: Sequence[str], config: Mapping[str, Any]) -> Path:
    """Folder that the tables of a merged configuration are relative to.

    It is that of the last file that gave them, at its top or in a section that a module was given;
    where no file did, the working directory.

    Parameters
    ----------
    files : sequence of str
        Configuration files that were merged.
    config : mapping
        The result.
    """
    # all are read: Snakemake takes keys that are given twice, and other slips
    contents = [read_files(file) for file in files]
    tables = config.get("tables")
    same = [
        base
        for raw, base in contents
        if tables is not None and any(part.get("tables") == tables for part in _sections(raw))
    ]
    bases = same or [base for raw, base in contents if raw.get("tables") is not None]
    return bases[-1] if bases else Path()


def _sections(raw: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield raw
    for value in raw.values():
        if isinstance(value, Mapping):
            yield from _sections(value)


# Snakemake gives its commands a TMPDIR of its own choice (/tmp where the node's does not exist);
# this is the node's, empty where it has none.
NODE_TMPDIR = "CONVERGENT_NODE_TMPDIR"

KEY = "resources.scratch"
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


def scratch_folder(
    setting: str, *, key: str = KEY, environment: Mapping[str, str] | None = None
) -> Path:
    """Find the folder for temporary files that a study names.

    Parameters
    ----------
    setting : str
        A path with variables, such as ``$TMPDIR`` or ``/local/$SLURM_JOB_ID``.
    key : str
        The configuration's key that it comes from, for messages.
    environment : mapping, optional
        Variables; by default this process's, with the ``TMPDIR`` of the node itself.

    Returns
    -------
    Path
        A folder that exists and was written to just now.

    Raises
    ------
    ConfigError
        A variable is not set, or the folder does not exist or cannot be written. No other place is
        taken instead.
    """
    values = dict(os.environ if environment is None else environment)
    values["TMPDIR"] = values.get(NODE_TMPDIR, values.get("TMPDIR", ""))
    host = platform.node()
    for match in _VARIABLE.finditer(setting):
        name = match[1] or match[2]
        if not values.get(name):
            raise ConfigError(
                f"{key} is '{setting}', and {name} is not set",
                where=f"on {host}",
                fix=f"name a folder that each node has, have the site's prolog set {name}, or "
                f"leave {key} out: temporary files then lie beside the results",
            )
    folder = Path(_VARIABLE.sub(lambda m: values[m[1] or m[2]], setting)).expanduser()
    named = f"{key} is '{setting}'" + ("" if str(folder) == setting else f", here {folder}")
    if not folder.is_dir():
        raise ConfigError(
            f"{named}, and there is no such folder",
            where=f"on {host}",
            fix="have it made on every node (by the site's prolog), or name one that is there",
        )
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{named}, and no file can be made in it: {error.strerror or error}",
            where=f"on {host}",
            fix="check its permissions and free space, or name another folder",
        ) from None
    return folder
