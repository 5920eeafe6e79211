"""Alignment over scales, by family, subject and region."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SWEEP = ["dataset", "modality", "metric"]
CURVE_SCHEMA: dict[str, Any] = {
    **dict.fromkeys((*SWEEP, "family", "subject", "region", "network"), pl.String),
    **dict.fromkeys(("scale", "score", "noise_ceiling", "n_targets", "axis_position"), pl.Float64),
    "n_models": pl.Int64,
}


def scale_curves(alignment: pl.LazyFrame, *, ceiling_threshold: float) -> pl.DataFrame:
    """Average final trained models of each family, layers chosen on training data.

    Parameters
    ----------
    alignment : LazyFrame
        All metrics.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts, where ceilings are known.

    Returns
    -------
    DataFrame
        One row a (dataset, modality, metric, family, subject, region, scale): score (calibrated
        where there are permutations), noise_ceiling, n_targets, axis_position, n_models.
    """
    value = pl.coalesce(
        pl.col("score_chance_corrected").fill_nan(None), pl.col("score").fill_nan(None)
    )
    known = pl.col("noise_ceiling").is_not_null().any().over("dataset")
    keys = [*SWEEP, "family", "subject", "region", "network", "scale"]
    rows = swept(alignment)
    absent = {"n_targets", "axis_position"} - set(rows.collect_schema().names())
    found = (
        rows.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in sorted(absent))
        .group_by(keys)
        .agg(
            score=value.mean(),
            noise_ceiling=pl.col("noise_ceiling").fill_nan(None).mean(),
            n_targets=pl.col("n_targets").mean(),
            axis_position=pl.col("axis_position").first(),
            n_models=pl.col("model").n_unique().cast(pl.Int64),
        )
        .collect()
    )
    return (
        found.filter(~known | (pl.col("noise_ceiling") >= ceiling_threshold))
        .drop_nulls("score")
        .sort(keys, nulls_last=True)
        .select(list(CURVE_SCHEMA))
    )


def typical_p(alignment: pl.LazyFrame) -> pl.DataFrame:
    """Twice the median p over models and scales, families weighed alike; see `median_p`.

    Returns
    -------
    DataFrame
        dataset, modality, metric, region, p and smallest (the least p that the permutations allow);
        no rows without permutations.
    """
    place = [*SWEEP, "region"]
    rows = (
        swept(alignment)
        .group_by([*place, "family", "model", "scale"])
        .agg(p=pl.col("p_permutation").first())
        .drop_nulls("p")
        .collect()
    )
    weight = 1 / (pl.len().over([*place, "family"]) * pl.col("family").n_unique().over(place))
    return (
        rows.with_columns(weight=weight, smallest=2 * pl.col("p").min().over(SWEEP))
        .sort([*place, "p"])
        .with_columns(heap=pl.col("weight").cum_sum().over(place))
        .filter(pl.col("heap") >= 0.5 - 1e-9)
        .group_by(place, maintain_order=True)
        .agg(p=(2 * pl.col("p").first()).clip(upper_bound=1.0), smallest=pl.col("smallest").first())
    )


def family_curves(rows: pl.DataFrame, scales: Floats) -> tuple[list[str], Floats]:
    """Mean curve of each family that has every scale, subjects first, (family, scale)."""
    wide = (
        rows.group_by("family", "subject", "scale")
        .agg(pl.col("score").mean())
        .group_by("family", "scale")
        .agg(pl.col("score").mean())
        .sort("family", "scale")
        .pivot(on="scale", index="family", values="score")
        .sort("family")
        .drop_nulls()
    )
    if wide.width != len(scales) + 1:
        return [], np.empty((0, len(scales)))
    columns = [str(scale) for scale in scales.tolist()]
    return wide["family"].to_list(), wide.select(columns).to_numpy().astype(np.float64)


def curve_cube(rows: pl.DataFrame) -> tuple[list[str], list[str], Floats]:
    """Means over subjects, (family, region, scale), of what every family has."""
    means = (
        rows.group_by("family", "region", "scale").agg(pl.col("score").mean()).sort(
            "family", "region", "scale"
        )
    )  # fmt: skip
    families = means["family"].unique(maintain_order=True).to_list()
    scales = means["scale"].n_unique()
    whole = (
        means.group_by("region", maintain_order=True)
        .agg(n=pl.len())
        .filter(pl.col("n") == len(families) * scales)["region"]
        .sort()
        .to_list()
    )
    kept = means.filter(pl.col("region").is_in(whole)).sort("family", "region", "scale")
    shape = (len(families), len(whole), scales)
    return families, whole, kept["score"].to_numpy().astype(np.float64).reshape(shape)


def count_models(rows: pl.DataFrame) -> int:
    """Models behind curves."""
    per_family = rows.group_by("family").agg(pl.col("n_models").max())
    return int(per_family["n_models"].sum())


def swept(alignment: pl.LazyFrame) -> pl.LazyFrame:
    return alignment.filter(
        pl.col("scale").is_not_null()
        & (pl.col("choice") == "best")
        & (pl.col("role") == "trained")
        & pl.col("final")
    )
