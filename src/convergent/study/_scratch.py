"""The node's own disk, where a study names a folder on it: found in the job, not at the start."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from convergent.errors import ConfigError

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
