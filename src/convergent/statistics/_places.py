"""Every subject's alignment in every region or network, by kind of model."""

from __future__ import annotations

import polars as pl

from ._aggregate import mask_by_ceiling
from ._tables import without_nan

MAXIMUM_REGIONS = 40
PROFILE_SCHEMA: dict[str, type[pl.DataType]] = {
    "dataset": pl.String,
    "place": pl.String,
    "place_kind": pl.String,
    "order": pl.Float64,
    "subject": pl.String,
    "kind": pl.String,
    "score": pl.Float64,
    "ceiling": pl.Float64,
    "n_models": pl.Int64,
    "strongest": pl.String,
}


def subject_profile(alignment: pl.DataFrame) -> pl.DataFrame:
    """Average final models, random twins and controls, per place and subject.

    Of controls the strongest stands alone: a mean over controls would sink with every weak one
    that a study adds, and make models look better than they are.

    Parameters
    ----------
    alignment : DataFrame
        Alignment of the primary metric.

    Returns
    -------
    DataFrame
        One row per (dataset, place, subject, kind): place_kind (regions, or networks when there
        are more than 40 regions; a data set with many regions and no networks has no rows), order,
        kind (trained, random, control), score, ceiling (square root of the noise ceiling, in r;
        null where unknown), n_models (of that kind) and strongest (name of the control shown).
    """
    rows = without_nan(alignment).filter(
        (pl.col("choice") == "best") & (pl.col("final") | (pl.col("role") == "random"))
    )
    parts = [
        _of_dataset(part).select(pl.lit(dataset).alias("dataset"), pl.all())
        for (dataset,), part in rows.sort("dataset").group_by(["dataset"], maintain_order=True)
        if _fits(part)
    ]
    return pl.concat(
        [pl.DataFrame(schema=PROFILE_SCHEMA), *(p.select(list(PROFILE_SCHEMA)) for p in parts)],
        how="vertical_relaxed",
    )


def _fits(rows: pl.DataFrame) -> bool:
    """Tell whether there are few regions, or networks to gather them in."""
    few = rows["region"].n_unique() <= MAXIMUM_REGIONS
    return few or bool((rows["network"].fill_null("") != "").all())


def _of_dataset(rows: pl.DataFrame) -> pl.DataFrame:
    place = "region" if rows["region"].n_unique() <= MAXIMUM_REGIONS else "network"
    if "axis_position" not in rows.columns:
        rows = rows.with_columns(axis_position=pl.lit(None, dtype=pl.Float64))
    if place == "network":
        rows = mask_by_ceiling(rows, ceiling_threshold=0.0)
    strongest = _strongest_control(rows)
    numbers = rows.group_by(pl.col("role").alias("kind")).agg(
        n_models=pl.col("model").n_unique().cast(pl.Int64)
    )
    return (
        rows.filter((pl.col("role") != "control") | (pl.col("model") == strongest))
        .group_by(pl.col(place).alias("place"), "subject", pl.col("role").alias("kind"), "model")
        .agg(
            pl.col("score").mean(),
            ceiling=pl.col("noise_ceiling").clip(0).sqrt().mean(),
            order=pl.col("axis_position").mean(),
        )
        .group_by("place", "subject", "kind")
        .agg(pl.col("score", "ceiling", "order").mean())
        .join(numbers, on="kind")
        .with_columns(
            place_kind=pl.lit(place),
            strongest=pl.when(pl.col("kind") == "control").then(pl.lit(strongest)),
        )
        .sort("order", "place", "kind", "subject", nulls_last=True)
    )


def _strongest_control(rows: pl.DataFrame) -> str:
    """Find the control with the highest mean score; empty where there is none."""
    means = (
        rows.filter(pl.col("role") == "control")
        .group_by("model")
        .agg(pl.col("score").mean())
        .sort("score", "model", descending=[True, False], nulls_last=True)
    )
    return "" if means.is_empty() else str(means["model"][0])
