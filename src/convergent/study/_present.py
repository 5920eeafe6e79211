"""Which files are there, told from listings of folders: one look a folder, none a file."""

from __future__ import annotations

import os


class Present:
    """Names in folders, each folder read once."""

    def __init__(self) -> None:
        self._folders: dict[str, frozenset[str]] = {}

    def names(self, folder: str) -> frozenset[str]:
        """Names in a folder; none if it is not there."""
        if folder not in self._folders:
            # of a folder that is not there, those below it need no look either
            parent, _, name = folder.rpartition("/")
            exists = not parent or not name or name in self.names(parent)
            self._folders[folder] = _listed(folder) if exists else frozenset()
        return self._folders[folder]

    def has(self, path: str) -> bool:
        """Whether a file is there."""
        folder, _, name = path.rpartition("/")
        return name in self.names(folder or ".")


def _listed(folder: str) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
