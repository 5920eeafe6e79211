"""Tab-separated tables, read with the file, row and column of every error."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from convergent.errors import TableError, did_you_mean
from convergent.names import KEY_FIX, key_error, shown
from convergent.text_files import read_cells

T = TypeVar("T", int, float)
_NUMBER = re.compile(r"[-+]?[0-9]+(_[0-9]{3})*(\.[0-9]*)?([eE][-+]?[0-9]{1,4})?|[-+]?\.[0-9]+")
# A network has some hundred layers: more is a slip in a range.
MOST_EXPANDED = 10_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"\s*([0-9]+)-([0-9]+)\s*")


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
        if (reason := key_error(value)) is not None:
            raise self.error(column, reason, KEY_FIX)
        return value

    def choice(self, column: str, known: Iterable[str], default: str | None = None) -> str:
        """A cell that must be one of a few words."""
        value = self.values.get(column, "") or default
        if value is None:
            raise self.error(column, "the cell is empty", did_you_mean("", known))
        if value not in set(known):
            raise self.error(column, f"unknown value '{shown(value)}'", did_you_mean(value, known))
        return value

    def number(
        self,
        column: str,
        kind: type[T],
        *,
        optional: bool = False,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> T | None:
        """A finite number from ``low`` to ``high``; thousands may be separated by ``_``."""
        value = self.values.get(column, "")
        if not value and optional:
            return None
        whole = "a whole number" if kind is int else "a number"
        try:
            number = kind(self.text(column)) if _NUMBER.fullmatch(value) or not value else None
        except ValueError:
            number = None
        if number is None or not math.isfinite(number):
            raise self.error(
                column,
                f"'{shown(value)}' is not {whole}",
                "write it with digits, a decimal point and no unit",
            )
        if not low <= number <= high:
            raise self.error(
                column, f"{shown(value)} is outside {low:,.0f} to {high:,.0f}", "correct the number"
            )
        return number


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
        The file cannot be read (`convergent.text_files.read_text`), a column is missing, unknown or
        repeated, or a row has too many cells.
    """
    required, optional = tuple(required), tuple(optional)
    lines = read_cells(path, comments=True)
    if not lines:
        raise TableError("the table is empty", where=str(path), fix="give at least a header")
    header = lines[0][1]
    _check_header(path, header, required, optional)
    rows = []
    file, columns = str(path), len(header)
    for number, cells in lines[1:]:
        if len(cells) > columns:
            raise TableError(
                f"{len(cells)} cells for {columns} columns",
                where=f"{path}, line {number}",
                fix="separate cells by single tabs",
            )
        filled = cells + [""] * (columns - len(cells))
        rows.append(Row(file, number, dict(zip(header, filled, strict=True))))
    return rows


def _check_header(
    path: Path, header: list[str], required: tuple[str, ...], optional: tuple[str, ...]
) -> None:
    known = (*required, *optional)
    for name in header:
        if name not in known:
            raise TableError(
                f"unknown column '{shown(name)}' ({did_you_mean(name, known)})",
                where=f"{path}, header",
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

    Raises
    ------
    ValueError
        A range that counts down, has leading zeros or an empty part, braces around one part, a
        brace that is not closed, or more than `MOST_EXPANDED` paths.

    Examples
    --------
    >>> expand_braces("encoder.layer.{0-2}")
    ['encoder.layer.0', 'encoder.layer.1', 'encoder.layer.2']
    """
    if "{" not in pattern and "}" not in pattern:
        return [pattern]
    expanded = [""]
    end = 0
    for match in _BRACES.finditer(pattern):
        before, end = pattern[end : match.start()], match.end()
        choices = _choices(match[1])
        if len(choices) == 1 and "-" not in match[1]:
            raise ValueError(f"'{match[0]}' has one part: write it without braces")
        if len(expanded) * len(choices) > MOST_EXPANDED:
            raise ValueError(f"'{shown(pattern)}' stands for more than {MOST_EXPANDED:,} paths")
        expanded = [start + before + choice for start in expanded for choice in choices]
    names = [start + pattern[end:] for start in expanded]
    if "{" in names[0] or "}" in names[0]:
        raise ValueError(f"'{shown(pattern)}' has a brace without its other half")
    return names


def _choices(text: str) -> list[str]:
    choices: list[str] = []
    for part in text.split(","):
        bounds = _RANGE.fullmatch(part)
        if bounds is None:
            if not part.strip():
                raise ValueError(f"'{{{text}}}' has an empty part")
            choices.append(part.strip())
            continue
        if any(len(bound) > 1 and bound[0] == "0" for bound in bounds.groups()):
            raise ValueError(f"'{part}' has leading zeros")
        low, high = (int(bound[:10]) for bound in bounds.groups())
        if low > high:
            raise ValueError(f"'{part}' counts down")
        if high - low >= MOST_EXPANDED:
            raise ValueError(f"'{part}' stands for more than {MOST_EXPANDED:,} paths")
        choices += [str(number) for number in range(low, high + 1)]
    return choices
