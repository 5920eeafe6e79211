"""Tables and lists of text, read strictly."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convergent.errors import DataError, did_you_mean

Text = NDArray[np.str_]


def read_table(path: Path) -> dict[str, Text]:
    """Columns of a tab- or comma-separated table with a header.

    Raises
    ------
    DataError
        Missing, empty, columns of one name, or a row of another length.
    """
    where = str(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter=_delimiter(path)) if row]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"table cannot be read: {reason}", where=where, fix="check it") from None
    if len(rows) < 2:
        raise DataError("table without rows", where=where, fix="give a header and rows")
    header = [name.strip() for name in rows[0]]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"column '{twice[0]}' occurs twice", where=where, fix="name it once")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise DataError(
                f"{len(row)} cells in a table of {len(header)} columns",
                where=f"{where}, row {number}",
                fix="separate cells with tabs (.tsv) or commas (.csv)",
            )
    cells = np.array(rows[1:], dtype=np.str_)
    return {name: np.char.strip(cells[:, place]) for place, name in enumerate(header)}


def column(table: dict[str, Text], name: str, path: Path, key: str) -> Text:
    """One column without empty cells.

    Raises
    ------
    DataError
        No such column, or an empty cell in it.
    """
    if name not in table:
        raise DataError(
            f"no column '{name}'",
            where=str(path),
            fix=f"{did_you_mean(name, table)} Set {key} to the column's name",
        )
    empty = np.flatnonzero(table[name] == "")
    if empty.size:
        raise DataError(
            f"{empty.size} cells of column '{name}' are empty",
            where=f"{path}, row {empty[0] + 2}",
            fix="fill them, or leave the rows out",
        )
    return table[name]


def numbers(table: dict[str, Text], name: str, path: Path, key: str) -> NDArray[np.float64]:
    """One column as finite numbers.

    Raises
    ------
    DataError
        As in `column`, or a cell that is no finite number.
    """
    cells = column(table, name, path, key)
    values = np.empty(cells.size)
    for place, cell in enumerate(cells.tolist()):
        try:
            values[place] = float(cell)
        except ValueError:
            values[place] = np.nan
        if not np.isfinite(values[place]):
            raise DataError(
                f"'{cell}' in column '{name}' is no number",
                where=f"{path}, row {place + 2}",
                fix="give seconds, with a decimal point",
            )
    return values


def read_list(path: Path, name: str, key: str) -> Text:
    """Text, one a sample or target: a table's column, an array (.npy), or lines (.txt)."""
    if path.suffix in (".tsv", ".csv"):
        return column(read_table(path), name, path, key)
    try:
        if path.suffix == ".npy":
            values = np.load(path, allow_pickle=False)
            if values.ndim != 1:
                raise DataError(
                    f"array of shape {values.shape}", where=str(path), fix="give one axis"
                )
            text: Text = values.astype(np.str_)
            return text
        return np.array([line.strip() for line in path.read_text(encoding="utf-8").splitlines()])
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), fix="check it") from None


def _delimiter(path: Path) -> str:
    return "," if path.suffix == ".csv" else "\t"
