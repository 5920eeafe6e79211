"""The published tables: rows of models with their scores, and how they are made and checked.

Importing this package imports no deep-learning library; building and checking tables does.
"""

from convergent.zoo.build import (
    Built,
    Figures,
    Table,
    builder_names,
    unpinned,
    unpinned_mistake,
    write_tables,
)
from convergent.zoo.build import build as build_tables
from convergent.zoo.check import CheckReport, check_tables, find_tables
from convergent.zoo.pin import Pin, PinReport, pin_tables
from convergent.zoo.resolve import resolve
from convergent.zoo.rows import (
    CheckpointRow,
    ModelRow,
    ScoreRow,
    TableDiff,
    compress_braces,
    diff_tables,
    read_cells,
    table_text,
    write_table,
)
from convergent.zoo.sketch import sketch

__all__ = [
    "Built",
    "CheckReport",
    "CheckpointRow",
    "Figures",
    "ModelRow",
    "Pin",
    "PinReport",
    "ScoreRow",
    "Table",
    "TableDiff",
    "build_tables",
    "builder_names",
    "check_tables",
    "compress_braces",
    "diff_tables",
    "find_tables",
    "pin_tables",
    "read_cells",
    "resolve",
    "sketch",
    "table_text",
    "unpinned",
    "unpinned_mistake",
    "write_table",
    "write_tables",
]
