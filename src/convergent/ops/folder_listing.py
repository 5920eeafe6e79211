"""Which files are there: each folder is listed once, and no file is looked at."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

# Listing waits for the file system's server, so several threads ask it at once.
_THREADS = 8
_FOLDERS_AT_ONCE = 256

Found = Mapping[str, frozenset[str]]
_NONE: frozenset[str] = frozenset()


def listed(root: str, without: Iterable[str] = ()) -> Found:
    """Names of the files in every folder below a root, by folder.

    Parameters
    ----------
    root : str
        Its folders are named as the root is: ``results/demo/...``.
    without : iterable of str
        Folders of the root that are left out.

    Returns
    -------
    mapping of str to frozenset of str
        Names that start with a dot are left out. Empty if the root does not exist.
    """
    found: dict[str, frozenset[str]] = {}
    skipped = {f"{root}/{name}" for name in without}
    folders = [root]
    with ThreadPoolExecutor(_THREADS) as pool:
        while folders:
            parts = [
                folders[first : first + _FOLDERS_AT_ONCE]
                for first in range(0, len(folders), _FOLDERS_AT_ONCE)
            ]
            inner: list[str] = []
            for files, below in pool.map(_list, parts):
                found.update(files)
                inner += below
            folders = [folder for folder in inner if folder not in skipped]
    return found


def _list(folders: Sequence[str]) -> tuple[dict[str, frozenset[str]], list[str]]:
    files: dict[str, frozenset[str]] = {}
    below: list[str] = []
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                # the kind of an entry comes with its name: no file is looked at
                kinds = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        except (FileNotFoundError, NotADirectoryError):
            continue  # removed since its parent was listed
        files[folder] = frozenset(name for name, inner in kinds if not inner and name[0] != ".")
        below += [f"{folder}/{name}" for name, inner in kinds if inner and name[0] != "."]
    return files, below


def is_there(found: Found, path: str) -> bool:
    """Whether one file was found."""
    folder, _, name = path.rpartition("/")
    return name in found.get(folder, _NONE)
