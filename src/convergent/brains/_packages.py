"""Files inside installed packages, found without importing them."""

from __future__ import annotations

import sysconfig
from importlib.util import find_spec
from pathlib import Path

from convergent.errors import DataError

STANDARD_LIBRARY = "python"


def package_path(package: str, inside: str, distribution: str) -> Path:
    """Find a file or folder of an installed package.

    Parameters
    ----------
    package : str
        Top-level module, or ``python`` for the standard library.
    inside : str
        Path inside it.
    distribution : str
        What to install when it is missing.

    Raises
    ------
    DataError
        The package or the file is not there.
    """
    if package == STANDARD_LIBRARY:
        root = Path(sysconfig.get_path("stdlib"))
    else:
        spec = find_spec(package)
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            raise DataError(
                f"package '{package}' is not installed",
                where=f"{package}/{inside}",
                fix=f"pip install {distribution}",
            )
        root = Path(places[0])
    path = root / inside
    if not path.exists():
        raise DataError(
            f"no '{inside}' in package '{package}'",
            where=str(root),
            fix=f"install the version of {distribution} that the project's lock file names",
        )
    return path
