"""Tab-separated tables, read with the file, row and column of every mistake."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from convergent.errors import TableError, did_you_mean

T = TypeVar("T")
_KEY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"\s*(\d+)-(\d+)\s*")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Attributes
    ----------
    file : str
    line : int
        Line in the file, from 1.
    values : dict of str to str
        Stripped cells by column name.
    """

    file: str
    line: int
    values: dict[str, str]

    def where(self, column: str | None = None) -> str:
        """File, row and column, for messages."""
        place = f"{self.file}, line {self.line}"
        return f"{place}, column '{column}'" if column else place

    def error(self, column: str, what: str, fix: str | None = None) -> TableError:
        """An error at one cell."""
        return TableError(what, where=self.where(column), fix=fix)

    def text(self, column: str) -> str:
        """A cell that must not be empty."""
        value = self.values.get(column, "")
        if not value:
            raise self.error(column, "the cell is empty", f"fill in '{column}'")
        return value

    def key(self, column: str) -> str:
        """A cell that becomes part of a file name."""
        value = self.text(column)
        if not _KEY.match(value):
            raise self.error(
                column,
                f"'{value}' can't be part of a file name",
                "use letters, digits, '.', '_' and '-', starting with a letter or digit",
            )
        return value

    def choice(self, column: str, known: Iterable[str], default: str | None = None) -> str:
        """A cell that must be one of a few words."""
        value = self.values.get(column, "") or default
        if value is None:
            raise self.error(column, "the cell is empty", did_you_mean("", known))
        if value not in set(known):
            raise self.error(column, f"unknown value '{value}'", did_you_mean(value, known))
        return value

    def number(self, column: str, kind: Callable[[str], T], optional: bool = False) -> T | None:
        """A numeric cell; thousands may be separated by ``_``."""
        value = self.values.get(column, "")
        if not value and optional:
            return None
        try:
            return kind(self.text(column))
        except ValueError:
            name = getattr(kind, "__name__", "number")
            raise self.error(column, f"'{value}' is not a number of kind {name}") from None


def read_rows(path: Path, required: Iterable[str], optional: Iterable[str] = ()) -> list[Row]:
    """Read a TSV file.

    Parameters
    ----------
    path : Path
        Tab-separated, UTF-8, header in the first line that is not a comment; lines that
        start with ``#`` and empty lines are skipped.
    required, optional : iterable of str
        Column names.

    Raises
    ------
    TableError
        Missing file, missing, unknown or repeated column, or a row with the wrong number of cells.
    """
    required, optional = tuple(required), tuple(optional)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TableError(
            "no such table", where=str(path), fix="check 'tables' in the study"
        ) from None
    except UnicodeDecodeError as error:
        raise TableError(f"not UTF-8 text ({error.reason})", where=str(path)) from None
    lines = [
        (number, line)
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines:
        raise TableError("the table is empty", where=str(path), fix="give at least a header")
    header = _cells(lines[0][1])
    _check_header(path, header, required, optional)
    rows = []
    file, columns = str(path), len(header)
    for number, line in lines[1:]:
        cells = _cells(line)
        if len(cells) > columns:
            raise TableError(
                f"{len(cells)} cells for {columns} columns",
                where=f"{path}, line {number}",
                fix="separate cells by single tabs",
            )
        cells += [""] * (columns - len(cells))
        rows.append(Row(file, number, dict(zip(header, cells, strict=True))))
    return rows


def _cells(line: str) -> list[str]:
    # a reader of CSV takes three times as long, and is needed for quotes only
    cells = next(csv.reader([line], delimiter="\t")) if '"' in line else line.split("\t")
    return [cell.strip() for cell in cells]


def _check_header(
    path: Path, header: list[str], required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    known = (*required, *optional)
    for name in header:
        if name not in known:
            raise TableError(
                f"unknown column '{name}' ({did_you_mean(name, known)})", where=f"{path}, header"
            )
        if header.count(name) > 1:
            raise TableError(f"column '{name}' occurs twice", where=f"{path}, header")
    for name in required:
        if name not in header:
            raise TableError(
                f"column '{name}' is missing",
                where=f"{path}, header",
                fix=f"columns: {', '.join(known)}; separated by tabs",
            )


def expand_braces(pattern: str) -> list[str]:
    """Expand ``{0-5}`` and ``{0,2,4}`` in a module path.

    Examples
    --------
    >>> expand_braces("encoder.layer.{0-2}")
    ['encoder.layer.0', 'encoder.layer.1', 'encoder.layer.2']
    """
    if "{" not in pattern:
        return [pattern]
    match = _BRACES.search(pattern)
    if match is None:
        return [pattern]
    choices: list[str] = []
    for part in match[1].split(","):
        bounds = _RANGE.fullmatch(part)
        if bounds:
            low, high = int(bounds[1]), int(bounds[2])
            if low > high:
                raise ValueError(f"'{part}' counts down")
            choices += [str(number) for number in range(low, high + 1)]
        elif part.strip():
            choices.append(part.strip())
        else:
            raise ValueError(f"'{match[0]}' has an empty part")
    before, after = pattern[: match.start()], pattern[match.end() :]
    if "{" not in before and "{" not in after:
        return [before + choice + after for choice in choices]
    return [rest for choice in choices for rest in expand_braces(before + choice + after)]
