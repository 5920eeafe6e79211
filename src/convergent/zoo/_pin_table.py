"""Cells of a table changed in place: comments, order and all other cells stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from convergent.errors import TableError
from convergent.store import publish


@dataclass(frozen=True, slots=True)
class TableText:
    """A table as it lies on disk, to be written back with other revisions.

    Attributes
    ----------
    path : Path
    lines : tuple of str
        With their line ends.
    header : tuple of str
        Column names.
    header_line : int
        Number of the header's line, from 1.
    """

    path: Path
    lines: tuple[str, ...]
    header: tuple[str, ...]
    header_line: int

    def with_cells(self, column: str, cells: Mapping[int, str]) -> str:
        """Text with other cells in one column.

        Parameters
        ----------
        column : str
            Added at the end if the table does not have it.
        cells : mapping of int to str
            New cells by line number, from 1.
        """
        lines = list(self.lines)
        if not cells:
            return "".join(lines)
        if column in self.header:
            place = self.header.index(column)
        else:
            place = len(self.header)
            lines[self.header_line - 1] = _changed(lines[self.header_line - 1], place, column)
        for number, cell in cells.items():
            lines[number - 1] = _changed(lines[number - 1], place, cell)
        return "".join(lines)

    def write(self, text: str) -> None:
        """Replace the file whole or not at all."""
        with (
            publish(self.path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            file.write(text)


def read_table_text(path: Path) -> TableText:
    """Read a table's lines; the study's reader is what checks them.

    Raises
    ------
    TableError
        There is no file, or a quoted cell: tabs inside of it would be taken for borders.
    """
    if not path.is_file():
        raise TableError("no such table", where=str(path), fix="name a TSV file")
    with path.open(encoding="utf-8", newline="") as file:
        lines = tuple(file.read().splitlines(keepends=True))
    for number, line in enumerate(lines, start=1):
        if '"' in line and not line.lstrip().startswith("#"):
            raise TableError(
                "a double quote", where=f"{path}, line {number}", fix="write the cell without it"
            )
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            header = tuple(name.strip() for name in line.rstrip("\r\n").split("\t"))
            return TableText(path, lines, header, number)
    raise TableError("the table is empty", where=str(path), fix="give at least a header")


def _changed(line: str, place: int, cell: str) -> str:
    body = line.rstrip("\r\n")
    cells = body.split("\t")
    cells += [""] * (place + 1 - len(cells))
    cells[place] = cell
    return "\t".join(cells) + line[len(body) :]
