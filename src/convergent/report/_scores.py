"""The report's table of models by region, with intervals over subjects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from convergent.figures import interval, number, p_value
from convergent.statistics import ALL_REGIONS

from ._sections import MAXIMUM_ROWS, Table, cell

Row = Mapping[str, Any]
NOTHING = "–"


def scores_table(scores: pl.DataFrame, primary: str) -> Table:
    """Raw, normalised and unique scores of models and controls, layers chosen on other samples.

    Regions one by one where the page can carry them, else their mean alone; the file has all.
    """
    rows = scores.filter(
        (pl.col("choice") == "best")
        & pl.col("scale").is_null()
        & (pl.col("final") | (pl.col("role") == "random"))
    )
    main = rows.filter(pl.col("metric") == primary)
    caption = "Models and controls by region, with 95 % t intervals over subjects"
    if main.height > MAXIMUM_ROWS:
        main = main.filter(pl.col("region") == ALL_REGIONS).head(MAXIMUM_ROWS)
        caption += " (regions one by one: study/scores.parquet)"
    where = ["dataset", "model", "checkpoint", "region"]
    unique = {
        tuple(row[key] for key in where): row
        for row in rows.filter(pl.col("metric") == "unique").iter_rows(named=True)
    }
    # the mean over one region is that region
    several = (pl.col("region").n_unique() > 2).over("dataset")
    main = main.filter(several | (pl.col("region") != ALL_REGIONS))
    whole = pl.col("region") != ALL_REGIONS
    order = main.sort("dataset", whole, "region", "score", descending=[False] * 3 + [True])
    body = [
        _row(row, unique.get(tuple(row[key] for key in where)), bool(unique))
        for row in order.iter_rows(named=True)
    ]
    columns = (
        *("model", "weights", "data set", "region", f"{primary}", "95% CI", "p (t test)"),
        *("share of ceiling", "95% CI"),
        *(("unique R²", "95% CI", "p (t test)", "unique share of ceiling") if unique else ()),
        *("noise ceiling (r²)", "lower, upper bound", "subjects"),
    )
    return Table(caption, *_with_values(columns, body), True)


def _with_values(
    columns: tuple[str, ...], rows: list[tuple[str, ...]]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Leave out the columns in which no row says anything."""
    kept = [k for k in range(len(columns)) if not rows or any(row[k] != NOTHING for row in rows)]
    return tuple(columns[k] for k in kept), [tuple(row[k] for k in kept) for row in rows]


def _row(row: Row, unique: Row | None, wanted: bool) -> tuple[str, ...]:
    more: tuple[str, ...] = ()
    if wanted:
        more = (NOTHING,) * 4
    if wanted and unique is not None:
        more = (
            number(unique["score"], 3),
            _limits(unique["score_low"], unique["score_high"]),
            p_value(unique["p_subjects"]),
            number(unique["normalised"], 3),
        )
    bounds = f"{number(row['ceiling_lower'], 3)}, {number(row['ceiling_upper'], 3)}"
    return (
        row["model"],
        "control" if row["family"] == "baseline" else row["checkpoint"],
        row["dataset"],
        row["region"],
        number(row["score"], 3),
        _limits(row["score_low"], row["score_high"]),
        p_value(row["p_subjects"]),
        number(row["normalised"], 3),
        _limits(row["normalised_low"], row["normalised_high"]),
        *more,
        number(row["noise_ceiling"], 3),
        bounds if row["ceiling_lower"] is not None else NOTHING,
        cell(row["n_subjects"]),
    )


def _limits(low: float | None, high: float | None) -> str:
    """An interval, or nothing where there is one subject."""
    return NOTHING if low is None or high is None else interval(low, high)
