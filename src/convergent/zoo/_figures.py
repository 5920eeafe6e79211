"""Published figures: files with a record of where they are from."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from convergent.errors import DataError

_ORIGIN = re.compile(r"^- (?P<files>[^:]+): (?P<repository>[\w.-]+/[\w.-]+), (?P<folder>[\w./-]+)")
_COMMIT = re.compile(r"\bcommit ([0-9a-f]{40})\b")


@dataclass(frozen=True)
class Figures:
    """A folder of figures.

    Attributes
    ----------
    folder : Path
        Holds the files and ``SOURCE.md``, with a line ``- <files>: <owner/repository>,
        <folder>/, commit <40 digits>`` for each group of files.
    """

    folder: Path

    def rows(self, name: str) -> list[dict[str, str]]:
        """Rows of a CSV file.

        Raises
        ------
        DataError
            The file is missing or has no rows.
        """
        path = self.folder / name
        if not path.is_file():
            raise DataError(
                "no such file of figures", where=str(path), fix="name their folder with --figures"
            )
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        if not rows:
            raise DataError("the file has no rows", where=str(path))
        return rows

    def origin(self, name: str) -> str:
        """Where a file is from: file, repository, commit and folder, for the source column.

        Raises
        ------
        DataError
            ``SOURCE.md`` is missing or does not name the file with its commit.
        """
        path = self.folder / "SOURCE.md"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in lines:
            found, commit = _ORIGIN.match(line), _COMMIT.search(line)
            if not found or not commit:
                continue
            patterns = [part.strip() for part in found["files"].split(",")]
            if any(fnmatch(name, pattern) for pattern in patterns):
                place = f"{found['repository']}@{commit[1]}/{found['folder'].strip('/')}"
                return f"{name} of {place}"
        raise DataError(
            f"'{name}' has no source", where=str(path), fix="add a line with repository and commit"
        )
