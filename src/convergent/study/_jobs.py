"""What the workflow tells its jobs through the environment."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

STUDY = "CONVERGENT_STUDY"
OVERRIDES = "CONVERGENT_OVERRIDES"
ANEW = "CONVERGENT_FIT_ANEW"


def share_with_jobs(
    path: str | Path, overrides: dict[str, Any], forced: Collection[str] | None = None
) -> None:
    """Let the commands of this run find their study, and the ``convergent`` of this Python.

    Parameters
    ----------
    path : str or Path
        Configuration file; jobs run in the same working directory.
    overrides : dict
        What the run overrides in it, as `read_config` takes it.
    forced : collection of str, optional
        Rules and files that are to be made again (``--forcerun``); of a fit, what is there is then
        not kept.
    """
    os.environ[STUDY] = str(path)
    os.environ[OVERRIDES] = json.dumps(overrides)
    if any(str(name).startswith("fit") or "/alignment/" in str(name) for name in forced or ()):
        os.environ[ANEW] = "1"
    # the environment need not be activated, on the login node or on a compute node
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join((own, os.environ.get("PATH", os.defpath)))


def fits_anew() -> bool:
    """Whether the run that started this process makes fits again that are there."""
    return bool(os.environ.get(ANEW))


def shared_overrides() -> dict[str, Any]:
    """Overrides of the workflow that started this process; empty outside of one."""
    overrides: dict[str, Any] = json.loads(os.environ.get(OVERRIDES, "{}"))
    return overrides
