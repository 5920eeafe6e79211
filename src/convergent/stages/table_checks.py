"""What is checked of a table: names and types where it is read, values where it is written."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import polars as pl

from convergent.errors import TableError
from convergent.stages.schemas import Shape

_RERUN = "it was written by another version: delete it and rerun its rule"


def check_schema(
    path: str | Path, schema: pl.Schema, shape: Shape, *, only: Collection[str] | None = None
) -> None:
    """Refuse a file whose columns are not those of its table.

    Parameters
    ----------
    path : str or Path
        For the message.
    schema : Schema
        Of the file.
    shape : Shape
        Of the table.
    only : collection of str, optional
        Columns that are needed; others may be absent, and unknown ones are no mistake.

    Raises
    ------
    TableError
        Naming the file and the first column that is missing, of another type or unknown.
    """
    needed = shape.columns if only is None else {name: shape.columns[name] for name in only}
    for name, kind in needed.items():
        if name not in schema:
            raise TableError(f"column '{name}' is missing", where=str(path), fix=_RERUN)
        if schema[name] != kind:
            raise TableError(
                f"column '{name}' has the type {schema[name]} and not {kind}",
                where=str(path),
                fix=_RERUN,
            )
    unknown = [name for name in schema if name not in shape.columns] if only is None else []
    if unknown:
        raise TableError(f"unknown column '{unknown[0]}'", where=str(path), fix=_RERUN)


def check_values(rows: pl.DataFrame, shape: Shape, where: str) -> None:
    """Refuse values that cannot be: NaN, infinity, a p of 2, a correlation of 1.3.

    Parameters
    ----------
    rows : DataFrame
    shape : Shape
    where : str
        File, for the message.

    Raises
    ------
    TableError
        Naming the first such row.
    """
    floats = [name for name, kind in shape.columns.items() if kind == pl.Float64]
    wrong = {f"'{name}' is not a finite number": ~pl.col(name).is_finite() for name in floats}
    for name, (low, high) in shape.ranges.items():
        text = f"'{name}' is outside {low:g} to {high:g}"
        wrong[text] = (pl.col(name) < low) | (pl.col(name) > high)
    if shape.correlations:
        wrong["'score' is beyond what its metric can be"] = shape.impossible_score()
    if rows.is_empty() or not wrong:
        return
    found = rows.select(test.any().alias(text) for text, test in wrong.items()).row(0, named=True)
    for text, test in wrong.items():
        if found[text]:
            row = rows.filter(test).row(0, named=True)
            column = text.split("'")[1]
            raise TableError(
                f"column {text}: {row[column]} ({_named(row, shape.keys)})",
                where=where,
                fix="the stage that computed it is at fault: report it; nothing was written",
            )


def out_of_order(rows: pl.DataFrame, keys: Sequence[str]) -> tuple[pl.Series, pl.Series]:
    """Compare each row's keys with those of the row before it.

    Returns
    -------
    after, same : Series of bool, shape (row - 1,)
        Whether the row before stands after this one; whether it has the same keys. Nulls come
        first, as in `DataFrame.sort`.
    """

    def steps(name: str) -> tuple[pl.Expr, pl.Expr]:
        now, before = pl.col(name).slice(1), pl.col(name).slice(0, pl.len() - 1)
        after = (before > now).fill_null(False) | (now.is_null() & before.is_not_null())
        return after, now.eq_missing(before)

    # compared as codes: most keys are the same for many rows
    pairs = [steps(name) for name in keys]
    later = reduce(
        lambda rest, pair: pair[0] | (pair[1] & rest), reversed(pairs), pl.lit(value=False)
    )
    same = pl.all_horizontal(pair[1] for pair in pairs)
    found = rows.select(after=later, same=same)
    return found["after"], found["same"]


def duplicate(row: dict[str, Any], keys: Sequence[str], where: str) -> TableError:
    """Two rows of one kind, as an error."""
    return TableError(
        f"two rows of the same {_named(row, keys)}",
        where=where,
        fix="the stage that computed them is at fault: report it; nothing was written",
    )


def _named(row: dict[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in keys if row.get(name) is not None)
