"""The published tables: rows of models with their scores, and how they are made and checked.

Importing this package imports no deep-learning library; building and checking tables does.
"""

from convergent.zoo._braces import compress_braces
from convergent.zoo._diff import TableDiff, diff_tables
from convergent.zoo._language import build_language
from convergent.zoo._pin import Pin, PinReport, pin_tables
from convergent.zoo._pythia import build_pythia
from convergent.zoo._rows import (
    CheckpointRow,
    ModelRow,
    ScoreRow,
    read_cells,
    table_text,
    write_table,
)
from convergent.zoo._unpinned import unpinned, unpinned_mistake

__all__ = [
    "CheckpointRow",
    "ModelRow",
    "Pin",
    "PinReport",
    "ScoreRow",
    "TableDiff",
    "build_language",
    "build_pythia",
    "compress_braces",
    "diff_tables",
    "pin_tables",
    "read_cells",
    "table_text",
    "unpinned",
    "unpinned_mistake",
    "write_table",
]
