"""Fetch the public files, each checked against its SHA-256 before it gets its name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from convergent.brains._download import fetch_file
from convergent.brains.alice._files import SOURCE, check, published_files
from convergent.errors import DataError


def download(
    directory: str | Path,
    *,
    source: str = SOURCE,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Fetch the Alice data (3.4 MB, 141 files); files that are already there and right stay.

    Parameters
    ----------
    directory : str or Path
        Made when missing; ``~`` is expanded.
    source : str
        Address of the folder that holds ``alice_data_shared`` and ``alice_stim_shared``; the
        default is a commit of a public repository.
    report : callable, optional
        Called with one line a file.

    Returns
    -------
    Path
        The directory, to be given as option ``data`` of the reader.

    Raises
    ------
    DataError
        A file cannot be fetched or written, or is not the published one; nothing is left under its
        name, and a second call goes on from there.
    """
    directory = Path(directory).expanduser()
    where = f"Alice data {directory}"
    for relative in published_files():
        target = directory / relative
        if _is_right(target, relative):
            continue
        fetch_file(source, relative, target, partial(check, relative), where=where, report=report)
    return directory


def _is_right(path: Path, relative: str) -> bool:
    if not path.is_file():
        return False
    try:
        check(relative, path.read_bytes(), where=str(path))
    except DataError:
        return False
    return True
