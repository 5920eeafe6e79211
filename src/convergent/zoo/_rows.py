"""Rows of the published tables, written as the study reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from convergent.errors import TableError
from convergent.store import publish
from convergent.study.rows import (
    CHECKPOINT_COLUMNS,
    CHECKPOINT_OPTIONAL,
    MODEL_COLUMNS,
    MODEL_OPTIONAL,
    PERFORMANCE_COLUMNS,
)
from convergent.study.tables import read_rows
from convergent.zoo._braces import compress_braces

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRow:
    """One row of a models table; the columns are those of config/README.md.

    Attributes
    ----------
    layers : tuple of str
        Module paths in the order of execution.
    widths : tuple of int
        One width a layer.
    preprocessing : mapping of str to str
        Written as ``key=value`` pairs, in this order.
    tags : tuple of str
    """

    columns: ClassVar[tuple[str, ...]] = (
        "model", "family", "modality", "source", "reference", "revision", "architecture",
        "parameters", "layers", "width", "layout", "pooling", "precision", "preprocessing",
        "attention", "tags", "notes",
    )  # fmt: skip
    keys: ClassVar[tuple[str, ...]] = ("model",)

    model: str
    family: str
    modality: str
    source: str
    reference: str
    parameters: int
    layers: tuple[str, ...]
    widths: tuple[int, ...]
    layout: str
    pooling: str
    revision: str = ""
    architecture: str = ""
    precision: str = "float32"
    preprocessing: Mapping[str, str] = field(default_factory=dict)
    attention: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""

    def cells(self) -> dict[str, str]:
        """Texts by column."""
        if len(self.widths) != len(self.layers):
            raise TableError(
                f"{len(self.widths)} widths for {len(self.layers)} layers",
                where=f"model '{self.model}'",
            )
        same = len(set(self.widths)) == 1
        texts = {name: str(getattr(self, name)) for name in self.columns if hasattr(self, name)}
        return texts | {
            "layers": compress_braces(self.layers),
            "width": ";".join(map(str, self.widths[:1] if same else self.widths)),
            "preprocessing": " ".join(
                f"{key}='{value}'" if value.split() != [value] else f"{key}={value}"
                for key, value in self.preprocessing.items()
            ),
            "tags": " ".join(self.tags),
        }

    def order(self) -> tuple[object, ...]:
        """Place in the table: by family, then key."""
        return _natural(self.family), _natural(self.model)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointRow:
    """One row of a checkpoints table."""

    columns: ClassVar[tuple[str, ...]] = (
        "model", "checkpoint", "role", "step", "reference", "branch", "revision", "seed", "final",
        "same_as",
    )  # fmt: skip
    keys: ClassVar[tuple[str, ...]] = ("model", "checkpoint")

    model: str
    checkpoint: str
    role: str = "trained"
    step: int | None = None
    reference: str = ""
    branch: str = ""
    revision: str = ""
    seed: int | None = None
    final: bool = False
    same_as: str = ""

    def cells(self) -> dict[str, str]:
        """Texts by column."""
        values = {name: getattr(self, name) for name in self.columns}
        texts = {name: "" if value is None else str(value) for name, value in values.items()}
        return texts | {"final": "yes" if self.final else "no"}

    def order(self) -> tuple[object, ...]:
        """Place in the table: by model, step (those without one last) and name."""
        step = (self.step is None, self.step or 0)
        return _natural(self.model), step, _natural(self.checkpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreRow:
    """One row of a performance table.

    Attributes
    ----------
    source : str
        File, repository and commit that the figure is from.
    """

    columns: ClassVar[tuple[str, ...]] = PERFORMANCE_COLUMNS
    keys: ClassVar[tuple[str, ...]] = ("model", "checkpoint", "benchmark")

    model: str
    benchmark: str
    score: float
    source: str
    checkpoint: str = "final"

    def cells(self) -> dict[str, str]:
        """Texts by column; the score as short as it can be without loss."""
        return {name: str(getattr(self, name)) for name in self.columns}

    def order(self) -> tuple[object, ...]:
        """Place in the table: by model, checkpoint and benchmark."""
        return _natural(self.model), _natural(self.checkpoint), self.benchmark


TableRow = ModelRow | CheckpointRow | ScoreRow


def table_text(rows: Sequence[TableRow], comment: str = "") -> str:
    """Write rows of one kind as the text of a table, in the order that belongs to the kind.

    Parameters
    ----------
    rows : sequence of ModelRow, of CheckpointRow or of ScoreRow
        At least one.
    comment : str
        Lines for people, written above the header behind ``#``.

    Raises
    ------
    TableError
        No row, a key that occurs twice, or a cell that the reader would not read back.
    """
    if not rows:
        raise TableError("no rows to write", fix="leave the table out of the study")
    kind = type(rows[0])
    seen: set[Key] = set()
    lines = [f"# {line}" for line in comment.splitlines()]
    lines.append("\t".join(kind.columns))
    for row in sorted(rows, key=lambda row: row.order()):
        cells = row.cells()
        key = tuple(cells[name] for name in kind.keys)
        if key in seen:
            raise TableError(f"{' '.join(key)} is there twice", fix="keep one of the two rows")
        seen.add(key)
        lines.append("\t".join(_cell(cells[name], key, name) for name in kind.columns))
    return "\n".join(lines) + "\n"


def write_table(path: str | Path, rows: Sequence[TableRow], comment: str = "") -> None:
    """Write a table whole or not at all; see `table_text`."""
    text = table_text(rows, comment)
    with publish(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_cells(path: str | Path, kind: type[TableRow]) -> dict[Key, dict[str, str]]:
    """Read a table's cells by key, with the study's reader; empty if there is no file.

    Parameters
    ----------
    path : path
    kind : {ModelRow, CheckpointRow, ScoreRow}

    Raises
    ------
    TableError
        The table is malformed.
    """
    if not Path(path).exists():
        return {}
    required, optional = {
        ModelRow: (MODEL_COLUMNS, MODEL_OPTIONAL),
        CheckpointRow: (CHECKPOINT_COLUMNS, CHECKPOINT_OPTIONAL),
        ScoreRow: (PERFORMANCE_COLUMNS, ()),
    }[kind]
    rows = read_rows(Path(path), required, optional)
    return {tuple(row.values[name] for name in kind.keys): row.values for row in rows}


def key_of(row: TableRow) -> Key:
    """Key of a row, as `read_cells` gives it."""
    return tuple(str(getattr(row, name)) for name in row.keys)


def _cell(text: str, key: Key, column: str) -> str:
    if text != text.strip() or any(character in text for character in '\t\n\r"'):
        raise TableError(
            f"{text!r} cannot be a cell",
            where=f"{' '.join(key)}, column '{column}'",
            fix="leave out tabs, line breaks, double quotes and blanks at the ends",
        )
    if column == "model" and text.startswith("#"):
        raise TableError(f"'{text}' would be read as a comment", fix="choose another key")
    return text


def _natural(text: str) -> tuple[tuple[bool, int, str], ...]:
    # 'layer10' after 'layer9'
    parts = re.findall(r"\d+|\D+", text)
    return tuple((part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)
