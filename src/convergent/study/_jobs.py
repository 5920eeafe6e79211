"""What the workflow tells its jobs through the environment."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

from convergent.errors import ConfigError
from convergent.study._scratch import NODE_TMPDIR

STUDY = "CONVERGENT_STUDY"
OVERRIDES = "CONVERGENT_OVERRIDES"
ANEW = "CONVERGENT_FIT_ANEW"
CODE = "CONVERGENT_CODE"


def share_with_jobs(
    path: str | Path,
    overrides: dict[str, Any],
    forced: Collection[str] | None = None,
    deployed: Collection[str] = (),
) -> None:
    """Let the commands of this run find their study, and the ``convergent`` of this Python.

    Snakemake calls it on the login node and again in each job, before the first command.

    Parameters
    ----------
    path : str or Path
        Configuration file; jobs run in the same working directory.
    overrides : dict
        What the run overrides in it, as `read_config` takes it.
    forced : collection of str, optional
        Rules and files that are to be made again (``--forcerun``); of a fit, what is there is then
        not kept.
    deployed : collection of str
        How Snakemake gives jobs their software (``--software-deployment-method``). The
        ``convergent`` of this Python is then not put first, and the jobs' must be the same code.

    Raises
    ------
    ConfigError
        What is overridden has a variable, which the login node's shell would replace on its way.
    """
    if "$" in json.dumps(overrides):
        raise ConfigError(
            "a variable given with --config is replaced before a job starts, often by nothing",
            where=next(str(key) for key, value in overrides.items() if "$" in json.dumps(value)),
            fix="write it in the study's file, where jobs read it as it is",
        )
    os.environ[STUDY] = str(path)
    os.environ[OVERRIDES] = json.dumps(overrides)
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


def shared_overrides() -> dict[str, Any]:
    """Overrides of the workflow that started this process; empty outside of one."""
    overrides: dict[str, Any] = json.loads(os.environ.get(OVERRIDES, "{}"))
    return overrides
