"""What the workflow tells its jobs through the environment."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

STUDY = "CONVERGENT_STUDY"
OVERRIDES = "CONVERGENT_OVERRIDES"


def share_with_jobs(path: str | Path, overrides: dict[str, Any]) -> None:
    """Let the commands of this run find their study, and the ``convergent`` of this Python.

    Parameters
    ----------
    path : str or Path
        Configuration file; jobs run in the same working directory.
    overrides : dict
        What the run overrides in it, as `read_config` takes it.
    """
    os.environ[STUDY] = str(path)
    os.environ[OVERRIDES] = json.dumps(overrides)
    # the environment need not be activated, on the login node or on a compute node
    own = str(Path(sys.executable).parent)
    os.environ["PATH"] = os.pathsep.join((own, os.environ.get("PATH", os.defpath)))


def shared_overrides() -> dict[str, Any]:
    """Overrides of the workflow that started this process; empty outside of one."""
    overrides: dict[str, Any] = json.loads(os.environ.get(OVERRIDES, "{}"))
    return overrides
