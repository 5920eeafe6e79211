"""Scores that two sets of results share, subtracted a few models at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

KEYS = ("dataset", "model", "checkpoint", "layer", "subject", "region", "metric", "scale")
VALUES = ("score", "score_chance_corrected", "noise_ceiling", "p")
MEASUREMENT_COLUMNS = (*KEYS, "family", "weights_sha256", *VALUES)


@dataclass(frozen=True)
class Side:
    """Results of a study.

    Attributes
    ----------
    name : str
        What they are called in the comparison.
    measurements : LazyFrame
        With `MEASUREMENT_COLUMNS`; never read as a whole.
    alignment : LazyFrame
        With layers chosen.
    tables : dict of str to DataFrame
        performance and correlations, as far as there are any.
    about : dict
        What the results were made from: configuration, software, primary; empty if not recorded.
    """

    name: str
    measurements: pl.LazyFrame
    alignment: pl.LazyFrame
    tables: Mapping[str, pl.DataFrame]
    about: Mapping[str, Any]

    def units(self) -> pl.DataFrame:
        """Rows of each (data set, family, model, checkpoint), in this order."""
        keys = ("dataset", "family", "model", "checkpoint")
        counted = self.measurements.group_by(keys).agg(rows=pl.len().cast(pl.Int64))
        return counted.collect(engine="streaming").sort(keys)

    def distinct(self, *columns: str) -> pl.DataFrame:
        """What there is in some columns."""
        return self.measurements.select(columns).unique().collect(engine="streaming").sort(columns)


COLUMNS = VALUES
# Rows of one side that are in memory at a time.
BATCH = 1 << 20
LARGEST = 20
# Lower ends of the classes of |difference|; equal scores have a class of their own.
EDGES = (0.0, 1e-12, 1e-9, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_UNIT = ("dataset", "model", "checkpoint")


@dataclass
class ScoreChanges:
    """Differences (second less first) of shared measurements.

    Attributes
    ----------
    tolerance : float
        Up to which two scores are called the same.
    shared, only_a, only_b : int
        Measurements that both have, or one.
    compared : int
        Shared measurements with a score on both sides.
    one_sided : int
        Shared measurements that have a score on one side alone: a change that no difference shows.
    changed : int
        Differences beyond the tolerance.
    classes : ndarray of int, shape (10,)
        How many are equal, then in each class from `EDGES` on.
    columns : dict of str to dict
        Of every compared column: changed, one_sided and the largest |difference|.
    models : DataFrame
        model, shared, changed, one_sided, mean and largest (|difference|), those that changed most
        first.
    metrics : DataFrame
        The same by metric.
    largest : DataFrame
        The measurements that differ most: keys, a, b, difference.
    """

    tolerance: float
    shared: int = 0
    only_a: int = 0
    only_b: int = 0
    compared: int = 0
    one_sided: int = 0
    changed: int = 0
    classes: np.ndarray = field(default_factory=lambda: np.zeros(len(EDGES) + 1, dtype=np.int64))
    columns: dict[str, dict[str, float]] = field(default_factory=dict)
    models: pl.DataFrame = field(default_factory=pl.DataFrame)
    metrics: pl.DataFrame = field(default_factory=pl.DataFrame)
    largest: pl.DataFrame = field(default_factory=pl.DataFrame)

    @property
    def greatest(self) -> float:
        """Largest |difference| of a score; 0 when none is compared."""
        return self.columns["score"]["largest"]

    @property
    def same(self) -> bool:
        """Whether every shared score is the same within the tolerance, and there is one."""
        return self.shared > 0 and not self.changed and not self.one_sided


def score_changes(a: Side, b: Side, *, tolerance: float) -> ScoreChanges:
    """Subtract every score that both sides have.

    Parameters
    ----------
    a, b : Side
    tolerance : float

    Returns
    -------
    ScoreChanges
    """
    found = ScoreChanges(tolerance)
    units = a.units(), b.units()
    shared = units[0].join(units[1], on=list(_UNIT), how="inner", suffix="_b")
    found.only_a, found.only_b = (
        int(mine.join(shared, on=list(_UNIT), how="anti")["rows"].sum()) for mine in units
    )
    found.columns = {name: {"changed": 0, "one_sided": 0, "largest": 0.0} for name in VALUES}
    models, metrics, largest = [], [], []
    for batch in _batches(shared):
        rows = _paired(_rows(a, batch, "family"), _rows(b, batch, "family_b"), found)
        _count(rows, found)
        models.append(_grouped(rows, "model", tolerance))
        metrics.append(_grouped(rows, "metric", tolerance))
        most = rows.filter(pl.col("difference").abs() > 0)
        largest.append(most.top_k(LARGEST, by=pl.col("difference").abs()))
    found.models, found.metrics = _merged(models, "model"), _merged(metrics, "metric")
    columns = {**dict.fromkeys(KEYS, pl.String), "scale": pl.Float64}
    columns |= dict.fromkeys(("a", "b", "difference"), pl.Float64)
    everywhere = [row.select(list(columns)) for row in largest]
    found.largest = (
        pl.concat([pl.DataFrame(schema=columns), *everywhere])
        .sort(pl.col("difference").abs(), *KEYS, descending=[True, *(False for _ in KEYS)])
        .head(LARGEST)
    )
    return found


def _batches(units: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Neighbouring units of one family, as many as fit; one unit is never divided."""
    for _, family in units.group_by(["dataset", "family"], maintain_order=True):
        start, waiting = 0, 0
        for index, rows in enumerate(
            family.select(pl.max_horizontal("rows", "rows_b")).to_series()
        ):
            if waiting and waiting + rows > BATCH:
                yield family.slice(start, index - start)
                start, waiting = index, 0
            waiting += rows
        yield family.slice(start)


def _rows(side: Side, batch: pl.DataFrame, family: str) -> pl.DataFrame:
    """One side's rows of a batch, by equalities and ranges: other row groups are not read."""
    families = batch[family].unique().to_list()
    wanted = (pl.col("dataset") == batch["dataset"][0]) & (
        pl.any_horizontal(pl.col("family") == name for name in families)
    )
    wanted &= pl.col("model").is_between(pl.lit(batch["model"].min()), pl.lit(batch["model"].max()))
    if batch["model"].n_unique() == 1:
        ends = batch["checkpoint"].min(), batch["checkpoint"].max()
        wanted &= pl.col("checkpoint").is_between(pl.lit(ends[0]), pl.lit(ends[1]))
    rows = side.measurements.filter(wanted).select(*KEYS, *VALUES).collect(engine="streaming")
    return rows.join(batch, on=list(_UNIT), how="semi", maintain_order="left")


def _paired(a: pl.DataFrame, b: pl.DataFrame, found: ScoreChanges) -> pl.DataFrame:
    """Keys, then every value of both sides, of the shared rows."""
    if a.select(KEYS).equals(b.select(KEYS)):
        rows = a.hstack(b.select(pl.col(VALUES).name.suffix("_b")))
    else:
        rows = a.join(b, on=list(KEYS), how="inner", nulls_equal=True, suffix="_b")
    found.only_a += a.height - rows.height
    found.only_b += b.height - rows.height
    return rows.with_columns(
        difference=pl.col("score_b") - pl.col("score"),
        one_sided=_one_sided("score"),
    ).rename({"score": "a", "score_b": "b"})


def _one_sided(name: str) -> pl.Expr:
    return pl.col(name).is_null() != pl.col(f"{name}_b").is_null()


def _count(rows: pl.DataFrame, found: ScoreChanges) -> None:
    found.shared += rows.height
    size = rows["difference"].drop_nulls().abs().to_numpy()
    found.compared += size.size
    found.one_sided += int(rows["one_sided"].sum())
    found.changed += int((size > found.tolerance).sum())
    found.classes[0] += int((size == 0).sum())
    found.classes[1:] += np.histogram(size[size > 0], bins=[*EDGES, np.inf])[0]
    named = rows.rename({"a": "score", "b": "score_b"})
    for name, numbers in found.columns.items():
        change = (pl.col(f"{name}_b") - pl.col(name)).abs()
        mine = named.select(
            changed=(change > found.tolerance).sum(),
            one_sided=_one_sided(name).sum(),
            largest=change.max(),
        ).row(0, named=True)
        numbers["changed"] += mine["changed"]
        numbers["one_sided"] += mine["one_sided"]
        numbers["largest"] = max(numbers["largest"], mine["largest"] or 0.0)


def _grouped(rows: pl.DataFrame, key: str, tolerance: float) -> pl.DataFrame:
    size = pl.col("difference").abs()
    return rows.group_by(key, maintain_order=True).agg(
        shared=pl.len().cast(pl.Int64),
        changed=(size > tolerance).sum().cast(pl.Int64),
        one_sided=pl.col("one_sided").sum().cast(pl.Int64),
        total=pl.col("difference").sum(),
        compared=pl.col("difference").count().cast(pl.Int64),
        largest=size.max().fill_null(0.0),
    )


def _merged(parts: list[pl.DataFrame], key: str) -> pl.DataFrame:
    schema: dict[str, Any] = {key: pl.String}
    schema |= dict.fromkeys(("shared", "changed", "one_sided"), pl.Int64)
    schema |= {"total": pl.Float64, "compared": pl.Int64, "largest": pl.Float64}
    return (
        pl.concat([pl.DataFrame(schema=schema), *parts])
        .group_by(key)
        .agg(pl.col("shared", "changed", "one_sided", "total", "compared").sum(),
             pl.col("largest").max())
        .with_columns(mean=pl.col("total") / pl.when(pl.col("compared") > 0).then("compared"))
        .select(key, "shared", "changed", "one_sided", "mean", "largest")
        .sort(["largest", "one_sided", key], descending=[True, True, False])
    )  # fmt: skip
