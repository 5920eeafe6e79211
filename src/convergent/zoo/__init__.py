"""The published tables: rows of models with their scores, and how they are made and checked.

Importing this package imports no deep-learning library; building and checking tables does.
"""

from convergent.zoo._braces import compress_braces
from convergent.zoo._diff import TableDiff, diff_tables
from convergent.zoo._rows import (
    CheckpointRow,
    ModelRow,
    ScoreRow,
    read_cells,
    table_text,
    write_table,
)

__all__ = [
    "CheckpointRow",
    "ModelRow",
    "ScoreRow",
    "TableDiff",
    "compress_braces",
    "diff_tables",
    "read_cells",
    "table_text",
    "write_table",
]
