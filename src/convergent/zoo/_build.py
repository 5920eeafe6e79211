"""Make the published tables from figures, and say what is different from the old ones."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

from convergent.errors import UnknownKeyError, did_you_mean
from convergent.zoo._diff import TableDiff, diff_tables
from convergent.zoo._figures import Figures
from convergent.zoo._rows import (
    CheckpointRow,
    ScoreRow,
    TableRow,
    key_of,
    read_cells,
    write_table,
)

# Each module has a function `build(figures, jobs, wanted, progress)`.
_BUILDERS = {
    "timm": "convergent.zoo._timm_table",
    "open_clip": "convergent.zoo._open_clip_table",
    "language": "convergent.zoo._language",
    "pythia": "convergent.zoo._pythia",
}
Progress = Callable[[int, int], None]
Wanted = Callable[[str], bool]


@dataclass(frozen=True)
class Table:
    """A table to be.

    Attributes
    ----------
    file : str
        Name in the folder of tables.
    rows : list of rows of one kind
    comment : str
        Lines above the header.
    """

    file: str
    rows: Sequence[TableRow]
    comment: str


@dataclass(frozen=True)
class Built:
    """Tables from one source, and the models that the figures name and the tables lack.

    Attributes
    ----------
    tables : tuple of Table
    left_out : dict of str to str
        Reason by name.
    """

    tables: tuple[Table, ...]
    left_out: dict[str, str]


class _Builder(Protocol):
    def __call__(
        self, figures: Figures, jobs: int, wanted: Wanted | None, progress: Progress | None
    ) -> Built: ...


def builder_names() -> list[str]:
    """Names of the sources that tables are built for."""
    return sorted(_BUILDERS)


def build(
    name: str,
    figures: Figures,
    *,
    jobs: int = 1,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
) -> Built:
    """Build the tables of one source.

    Parameters
    ----------
    name : {"timm", "open_clip", "language", "pythia"}
    figures : Figures
    jobs : int
        Processes.
    wanted : callable, optional
        Takes a model's name in the figures, and says whether it is built; all are by default.
    progress : callable, optional
        Called with the number of networks inspected and their number.

    Raises
    ------
    UnknownKeyError
        There is no such source.
    DataError
        Figures are missing, or have no source.
    """
    if name not in _BUILDERS:
        raise UnknownKeyError(
            f"no tables are built for '{name}'", fix=did_you_mean(name, _BUILDERS)
        )
    builder = importlib.import_module(_BUILDERS[name]).build
    return cast(_Builder, builder)(figures, jobs, wanted, progress)


def write_tables(built: Built, folder: Path) -> dict[str, TableDiff]:
    """Write tables, with the revisions that were already pinned, and compare with the old ones.

    Returns
    -------
    dict of str to TableDiff
        By file.
    """
    differences = {}
    for table in built.tables:
        path, kind = folder / table.file, type(table.rows[0])
        old = read_cells(path, kind)
        rows = [_with_pin(row, old.get(key_of(row))) for row in table.rows]
        write_table(path, rows, table.comment)
        differences[table.file] = diff_tables(old, read_cells(path, kind))
    return differences


def _with_pin(row: TableRow, old: dict[str, str] | None) -> TableRow:
    # Figures name no commits; those that `models pin` found stay with reference and branch.
    if isinstance(row, ScoreRow) or row.revision or old is None:
        return row
    if old.get("reference", "") != row.reference:
        return row
    if isinstance(row, CheckpointRow) and old.get("branch", "") != row.branch:
        return row
    return replace(row, revision=old.get("revision", ""))
