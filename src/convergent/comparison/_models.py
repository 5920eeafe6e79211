"""Performance, alignment and headline of each side, joined by what they are of."""

from __future__ import annotations

import polars as pl

from convergent.comparison._side import Side

_CELL = ("dataset", "model", "checkpoint", "subject", "region")
_PERFORMANCE = ("model", "checkpoint", "benchmark")
_QUESTION = ("dataset", "modality", "benchmark", "choice", "measure", "scope", "scope_value")
# Numbers of a headline, in the order in which a reader wants them.
HEADLINE = ("n_models", "r", "low", "high", "p", "q", "rho", "r_low", "r_high", "family_low",
            "family_high", "partial_r", "partial_r_width", "partial_r_both",
            "within_family_r")  # fmt: skip


def primary_of(a: Side, b: Side) -> str:
    """The metric that stands for alignment on both sides, else ridge."""
    named = {str(side.about["primary"]) for side in (a, b) if "primary" in side.about}
    return named.pop() if len(named) == 1 else "ridge_r"


def alignment_changes(a: Side, b: Side, metric: str) -> pl.DataFrame:
    """Mean alignment of each checkpoint, over the subjects and regions that both sides have.

    Layers are chosen on training data. One row per (dataset, model, checkpoint): a, b, change,
    cells; the largest changes first.
    """
    mine = (pl.col("metric") == metric) & pl.col("scale").is_null() & (pl.col("choice") == "best")
    rows = [
        side.alignment.filter(mine).select(*_CELL, "score").collect(engine="streaming")
        for side in (a, b)
    ]
    both = rows[0].join(rows[1], on=list(_CELL), how="inner", suffix="_b").drop_nulls()
    means = both.group_by("dataset", "model", "checkpoint").agg(
        a=pl.col("score").mean(), b=pl.col("score_b").mean(), cells=pl.len().cast(pl.Int64)
    )
    return _ordered(means, ["dataset", "model", "checkpoint"])


def performance_changes(a: Side, b: Side) -> pl.DataFrame:
    """Scores of both sides per (model, checkpoint, benchmark): a, b, change."""
    empty = pl.DataFrame(schema={**dict.fromkeys(_PERFORMANCE, pl.String), "score": pl.Float64})
    rows = [side.tables.get("performance", empty).select(*_PERFORMANCE, "score") for side in (a, b)]
    both = rows[0].join(rows[1], on=list(_PERFORMANCE), how="inner", suffix="_b")
    return _ordered(both.rename({"score": "a", "score_b": "b"}), list(_PERFORMANCE))


def headline_changes(a: Side, b: Side) -> pl.DataFrame:
    """Statistics over all regions: one row a question and number, with a, b and change."""
    tables = [side.tables.get("correlations") for side in (a, b)]
    keys = [n for n in _QUESTION if all(t is not None and n in t.columns for t in tables)]
    schema = {**dict.fromkeys([*keys, "number"], pl.String), "a": pl.Float64, "b": pl.Float64}
    if tables[0] is None or tables[1] is None or not keys:
        return pl.DataFrame(schema={**schema, "change": pl.Float64})
    long = []
    for table in tables:
        assert table is not None
        numbers = [name for name in HEADLINE if name in table.columns]
        chosen = table.filter(pl.col("scope") == "all") if "scope" in keys else table
        long.append(
            chosen.select(*keys, pl.col(numbers).cast(pl.Float64))
            .unpivot(numbers, index=keys, variable_name="number")
        )  # fmt: skip
    both = long[0].join(
        long[1], on=[*keys, "number"], how="inner", nulls_equal=True, suffix="_b",
        maintain_order="left",
    )  # fmt: skip
    both = both.filter(pl.col("value").is_not_null() | pl.col("value_b").is_not_null())
    order = pl.col("number").replace_strict(
        list(HEADLINE), range(len(HEADLINE)), return_dtype=pl.Int64
    )
    return (
        both.rename({"value": "a", "value_b": "b"})
        .with_columns(change=pl.col("b") - pl.col("a"))
        .sort([*keys, order])
    )


def _ordered(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    return rows.with_columns(change=pl.col("b") - pl.col("a")).sort(
        [pl.col("change").abs(), *keys],
        descending=[True, *(False for _ in keys)],
        nulls_last=True,
    )
