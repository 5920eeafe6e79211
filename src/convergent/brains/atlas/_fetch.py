"""Fetch label files that no package ships, each checked against its recorded SHA-256."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from convergent.brains._download import fetch_file
from convergent.brains.atlas._atlas import ATLASES
from convergent.brains.atlas._files import SOURCE, catalogue, check_content
from convergent.errors import UnknownKeyError, did_you_mean


def fetchable_atlases() -> tuple[str, ...]:
    """Atlases whose labels can be fetched."""
    return tuple(catalogue())


def fetch_atlas(
    atlas: str,
    directory: str | Path,
    *,
    source: str = SOURCE,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Fetch an atlas's labels on fsaverage5; a file that is there and right stays.

    Parameters
    ----------
    atlas : str
        One of `fetchable_atlases`.
    directory : str or Path
        Made when missing; ``~`` is expanded. To be named as the configuration's directory.
    source : str
        Address of the folder that holds the files; the default is a commit of a public repository.
    report : callable, optional
        Called with a line when the file was fetched.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UnknownKeyError
        No checksum of that atlas is recorded.
    DataError
        The file cannot be fetched or written, or is not the recorded one.
    """
    entry = catalogue().get(atlas)
    if entry is None:
        known = "packages ship it, or you give its files" if atlas in ATLASES else ""
        raise UnknownKeyError(
            f"atlas '{atlas}' cannot be fetched" + (f": {known}" if known else ""),
            fix=did_you_mean(atlas, catalogue()),
        )
    target = Path(directory).expanduser() / entry.file
    where = f"atlas {target}"
    if target.is_file():
        check_content(entry, target.read_bytes(), where)
        return target
    fetch_file(
        source, entry.file, target, partial(check_content, entry), where=where, report=report
    )
    return target
