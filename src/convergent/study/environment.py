"""What jobs find in their environment: the study, its overrides, the code, the node's own disk."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from convergent.errors import ConfigError
from convergent.study.config import read_files

STUDY = "CONVERGENT_STUDY"
CONFIG = "CONVERGENT_CONFIG"
ANEW = "CONVERGENT_FIT_ANEW"
CODE = "CONVERGENT_CODE"
# Linux gives a process no longer variable than 128 KiB.
_LARGEST = 120_000


def share_with_jobs(
    config: Mapping[str, Any],
    *,
    file: str,
    base: str | Path,
    overrides: Mapping[str, Any],
    forced: Collection[str] | None = None,
    deployed: Collection[str] = (),
) -> None:
    """Let the commands of this run find their study, and the ``convergent`` of this Python.

    Snakemake calls it on the login node and again in each job, before the first command.

    Parameters
    ----------
    config : mapping
        The study's configuration as Snakemake has merged it.
    file : str
        Where it comes from, for messages.
    base : str or Path
        Folder that its tables are relative to; jobs run in the same working directory.
    overrides : mapping
        What ``--config`` says, which is in ``config`` too.
    forced : collection of str, optional
        Rules and files that are to be made again (``--forcerun``); of a fit, what is there is then
        not kept.
    deployed : collection of str
        How Snakemake gives jobs their software (``--software-deployment-method``). The
        ``convergent`` of this Python is then not put first, and the jobs' must be the same code.

    Raises
    ------
    ConfigError
        What is overridden has a variable, which the login node's shell would replace on its way;
        or the configuration is too large for the environment of a job.
    """
    if "$" in json.dumps(overrides, default=str):
        raise ConfigError(
            "a variable given with --config is replaced before a job starts, often by nothing",
            where=next(
                str(key)
                for key, value in overrides.items()
                if "$" in json.dumps(value, default=str)
            ),
            fix="write it in the study's file, where jobs read it as it is",
        )
    shared = json.dumps(
        {"config": config, "file": file, "base": str(base), "overrides": overrides}, default=str
    )
    size = len(shared.encode())
    if size > _LARGEST:
        raise ConfigError(
            f"the configuration has {size:,} bytes, and a job can be given {_LARGEST:,}",
            where=file,
            fix="move lists of models or families from `select` into tables of their own",
        )
    os.environ[STUDY] = file
    os.environ[CONFIG] = shared
    os.environ[NODE_TMPDIR] = os.environ.get("TMPDIR", "")
    if any(str(name).startswith("fit") or "/alignment/" in str(name) for name in forced or ()):
        os.environ[ANEW] = "1"
    if deployed:
        os.environ[CODE] = code_digest()
        return
    # the environment need not be activated, on the login node or on a compute node
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join((own, os.environ.get("PATH", os.defpath)))


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
    return bool(os.environ.get(ANEW))


def shared_study() -> dict[str, Any] | None:
    """Arguments of `Study.of` that a workflow left for this process; None outside of one."""
    text = os.environ.get(CONFIG)
    if text is None:
        return None
    found = json.loads(text)
    return {
        "raw": found["config"],
        "file": found["file"],
        "base": Path(found["base"]),
        "overrides": found["overrides"],
    }


def tables_folder(files: Sequence[str], config: Mapping[str, Any]) -> Path:
    """Folder that the tables of a merged configuration are relative to.

    It is that of the last file that gave them; where no file did (a module was given its
    configuration), the working directory.

    Parameters
    ----------
    files : sequence of str
        Configuration files that were merged.
    config : mapping
        The result.
    """
    # all are read: Snakemake takes keys that are given twice, and other slips
    naming = [(raw, base) for raw, base in map(read_files, files) if raw.get("tables") is not None]
    same = [base for raw, base in naming if raw["tables"] == config.get("tables")]
    bases = same or [base for _, base in naming]
    return bases[-1] if bases else Path()


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
