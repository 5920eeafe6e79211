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
from convergent.study.tables import expand_braces, read_rows


def compress_braces(names: Sequence[str]) -> str:
    """Write module paths with ranges, in their order.

    Parameters
    ----------
    names : sequence of str

    Returns
    -------
    str
        Patterns separated by ``;``, which the models table expands to ``names`` again.

    Examples
    --------
    >>> compress_braces(["stem", "blocks.0", "blocks.1", "blocks.2", "norm"])
    'stem;blocks.{0-2};norm'
    >>> compress_braces(["stages.0.0", "stages.0.1", "stages.1.0", "stages.1.1"])
    'stages.{0-1}.{0-1}'
    """
    patterns = _merge(list(names), last_only=True)
    # A second pass joins stages of the same shape; deeper nesting would not be readable.
    patterns = _merge(patterns, last_only=False)
    expanded = [name for pattern in patterns for name in expand_braces(pattern)]
    assert expanded == list(names), f"{patterns} does not expand to {list(names)}"
    return ";".join(patterns)


def _merge(patterns: list[str], last_only: bool) -> list[str]:
    merged: list[str] = []
    start = 0
    while start < len(patterns):
        stop, pattern = _longest_run(patterns, start, last_only)
        merged.append(pattern)
        start = stop
    return merged


def _longest_run(patterns: list[str], start: int, last_only: bool) -> tuple[int, str]:
    # The longest run that differs in one number; of equal ones the rightmost number.
    best, best_pattern = start + 1, patterns[start]
    parts = _parts(patterns[start])
    places = [place for place, part in enumerate(parts) if part.isdigit()]
    for place in reversed(places[-1:] if last_only else places):
        if any("{" in part for part in parts[:place]):
            continue  # the leftmost braces vary slowest, so a new one must stand before them
        numbers = [int(parts[place])]
        for following in patterns[start + 1 :]:
            other = _parts(following)
            if len(other) != len(parts) or not other[place].isdigit():
                break
            if [*other[:place], *other[place + 1 :]] != [*parts[:place], *parts[place + 1 :]]:
                break
            numbers.append(int(other[place]))
        # Numbers with leading zeros cannot be written as a range.
        if str(numbers[0]) != parts[place] or len(numbers) < 2 or start + len(numbers) <= best:
            continue
        text = "".join([*parts[:place], f"{{{_ranges(numbers)}}}", *parts[place + 1 :]])
        run = patterns[start : start + len(numbers)]
        if expand_braces(text) != [name for pattern in run for name in expand_braces(pattern)]:
            continue
        best, best_pattern = start + len(numbers), text
    return best, best_pattern


def _parts(pattern: str) -> list[str]:
    return [part for part in re.split(r"(\{[^{}]*\}|\d+)", pattern) if part]


def _ranges(numbers: list[int]) -> str:
    pieces: list[str] = []
    start = 0
    for stop in range(1, len(numbers) + 1):
        if stop < len(numbers) and numbers[stop] == numbers[stop - 1] + 1:
            continue
        first, last = numbers[start], numbers[stop - 1]
        pieces.append(f"{first}-{last}" if last > first else str(first))
        start = stop
    return ",".join(pieces)


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


Cells = Mapping[Key, Mapping[str, str]]


@dataclass(frozen=True)
class TableDiff:
    """Differences by key; the order of rows and columns does not count.

    Attributes
    ----------
    added, removed : tuple of keys
    changed : dict of key to dict of column to (old, new)
    unchanged : int
        Number of rows that are the same.
    """

    added: tuple[Key, ...]
    removed: tuple[Key, ...]
    changed: dict[Key, dict[str, tuple[str, str]]]
    unchanged: int

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def counts(self) -> str:
        """One line of numbers."""
        return (
            f"{len(self.added)} added, {len(self.removed)} removed, "
            f"{len(self.changed)} changed, {self.unchanged} unchanged"
        )

    def lines(self, most: int | None = None) -> list[str]:
        """Describe each difference in a line.

        Parameters
        ----------
        most : int, optional
            So many lines of each kind; the rest is counted.
        """
        changed = [
            f"~ {' '.join(key)}: {column} '{old}' -> '{new}'"
            for key, cells in self.changed.items()
            for column, (old, new) in cells.items()
        ]
        kinds = (
            ("+", [f"+ {' '.join(key)}" for key in self.added]),
            ("-", [f"- {' '.join(key)}" for key in self.removed]),
            ("~", changed),
        )
        shown: list[str] = []
        for sign, lines in kinds:
            shown += lines if most is None else lines[:most]
            if most is not None and len(lines) > most:
                shown.append(f"{sign} ... and {len(lines) - most} more")
        return shown


def diff_tables(old: Cells, new: Cells) -> TableDiff:
    """Compare two tables by key, as `read_cells` gives them.

    A column that one table lacks counts as empty there.
    """
    changed: dict[Key, dict[str, tuple[str, str]]] = {}
    both = [key for key in new if key in old]
    for key in both:
        columns = dict.fromkeys([*old[key], *new[key]])
        pairs = {name: (old[key].get(name, ""), new[key].get(name, "")) for name in columns}
        cells = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if cells:
            changed[key] = cells
    return TableDiff(
        added=tuple(key for key in new if key not in old),
        removed=tuple(key for key in old if key not in new),
        changed=changed,
        unchanged=len(both) - len(changed),
    )
