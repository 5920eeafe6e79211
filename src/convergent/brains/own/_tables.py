"""Tables and lists of text, read strictly."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convergent.errors import DataError, did_you_mean
from convergent.text_files import MB, read_bytes, read_cells, read_text

Text = NDArray[np.str_]


def read_table(path: Path) -> dict[str, Text]:
    """Columns of a tab- or comma-separated table with a header.

    Raises
    ------
    DataError
        The file cannot be read, is empty, has columns of one name, or a row of another length.
    """
    where = str(path)
    lines = read_cells(path, delimiter=_delimiter(path), error=DataError)
    if len(lines) < 2:
        raise DataError("table without rows", where=where, fix="give a header and rows")
    header, rows = lines[0][1], lines[1:]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"column '{twice[0]}' occurs twice", where=where, fix="name it once")
    for number, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{len(row)} cells in a table of {len(header)} columns",
                where=f"{where}, line {number}",
                fix="separate cells with tabs (.tsv) or commas (.csv)",
            )
    columns = zip(*(row for _, row in rows), strict=True)
    return {name: np.array(cells) for name, cells in zip(header, columns, strict=True)}


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
    if path.suffix == ".npy":
        raw = read_bytes(path, error=DataError, largest=1024 * MB)
        try:
            values = np.load(io.BytesIO(raw), allow_pickle=False)
            text: Text = values.astype(np.str_)
        except Exception as error:  # numpy raises what it likes on a broken file
            raise DataError(f"cannot be read: {error}", where=str(path), fix="check it") from None
        if values.ndim != 1:
            raise DataError(f"array of shape {values.shape}", where=str(path), fix="give one axis")
        return text
    lines = read_text(path, error=DataError).removesuffix("\n").split("\n")
    return np.array([line.strip() for line in lines])


def _delimiter(path: Path) -> str:
    return "," if path.suffix == ".csv" else "\t"
