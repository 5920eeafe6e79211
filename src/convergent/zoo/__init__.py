"""The published tables: rows of models with their scores, and how they are made and checked.

Importing this package imports no deep-learning library; building and checking tables does.
"""

from convergent.zoo._braces import compress_braces
from convergent.zoo._build import Built, Table, builder_names, write_tables
from convergent.zoo._build import build as build_tables
from convergent.zoo._check import CheckReport, check_tables, find_tables
from convergent.zoo._diff import TableDiff, diff_tables
from convergent.zoo._figures import Figures
from convergent.zoo._pin import Pin, PinReport, pin_tables
from convergent.zoo._resolve import resolve
from convergent.zoo._rows import (
    CheckpointRow,
    ModelRow,
    ScoreRow,
    read_cells,
    table_text,
    write_table,
)
from convergent.zoo._sketch import sketch
from convergent.zoo._unpinned import unpinned, unpinned_mistake

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
