"""Columns that the statistics read, and the check that they are there."""

from __future__ import annotations

import polars as pl

from convergent.errors import TableError

ALIGNMENT_COLUMNS = (
    "dataset",
    "modality",
    "family",
    "model",
    "checkpoint",
    "role",
    "step",
    "final",
    "subject",
    "region",
    "network",
    "choice",
    "metric",
    "scale",
    "score",
    "score_normalised",
    "noise_ceiling",
)
PERFORMANCE_COLUMNS = ("model", "checkpoint", "benchmark", "score")
MODEL_COLUMNS = ("model", "family", "modality", "parameters", "source")
TRUTH_COLUMNS = ("region", "high_level", "noise_ceiling", "driven")


def require_columns(frame: pl.DataFrame, columns: tuple[str, ...], table: str) -> None:
    """Refuse a table that lacks a column.

    Parameters
    ----------
    frame : DataFrame
    columns : tuple of str
        Columns that must be there.
    table : str
        Name of the table, for the message.

    Raises
    ------
    TableError
        Naming the missing columns.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise TableError(
            f"column(s) {', '.join(missing)} missing",
            where=f"table '{table}'",
            fix=f"give it the columns {', '.join(columns)}",
        )


def one_metric(frame: pl.DataFrame) -> None:
    """Refuse a table of several metrics or scales, whose mean would mean nothing.

    Raises
    ------
    TableError
    """
    found = frame.select("metric", "scale").unique()
    if found.height > 1:
        names = ", ".join(found["metric"].unique().sort().to_list())
        raise TableError(
            f"rows of several metrics or scales ({names})",
            where="table 'alignment'",
            fix="take one with of_metric before averaging",
        )


def without_nan(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn NaN into null in every floating-point column.

    A NaN spoils a mean silently, a null is left out and can be counted.
    """
    return frame.with_columns(pl.selectors.float().fill_nan(None))
