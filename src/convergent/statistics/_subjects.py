"""Scores of every model and region, with intervals over subjects."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import stats

from ._tables import ALIGNMENT_COLUMNS, require_columns, without_nan

# Over all regions of a subject, in the place of a region's name.
ALL_REGIONS = "all regions"
LEVEL = 0.95

SCORE_KEYS = (
    *("dataset", "modality", "family", "model", "checkpoint", "role", "step", "final", "choice"),
    *("metric", "scale", "region", "network"),
)
SCORES_SCHEMA: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(SCORE_KEYS, pl.String),
    "step": pl.Int64,
    "final": pl.Boolean,
    "scale": pl.Float64,
    **dict.fromkeys(
        ("score", "score_low", "score_high", "p_subjects", "normalised", "normalised_low"),
        pl.Float64,
    ),
    **dict.fromkeys(("normalised_high", "noise_ceiling"), pl.Float64),
    **dict.fromkeys(("ceiling_lower", "ceiling_upper"), pl.Float64),
    "n_subjects": pl.Int64,
}


def subject_scores(alignment: pl.DataFrame, ceilings: pl.DataFrame) -> pl.DataFrame:
    """Average each score over subjects, with t intervals.

    Subjects are the samples: the interval is that of the mean of people like these, for these
    stimuli and this model. No region is masked; normalised scores are of the subjects in whom
    the ceiling is high enough to divide by, whose mean is then of fewer subjects.

    Parameters
    ----------
    alignment : DataFrame
        Alignment of all metrics.
    ceilings : DataFrame
        Noise ceilings of similarity metrics: dataset, metric, scale, region, lower, upper.

    Returns
    -------
    DataFrame
        One row per (dataset, model, checkpoint, choice, metric, scale, region), the region also
        ``all regions`` (means over a subject's regions first): score, normalised (share of the
        noise ceiling), the limits of their 95 % t intervals (null with one subject), p_subjects
        (one-sample t test of the score against 0, two-sided), noise_ceiling (mean over subjects,
        r^2), ceiling_lower and ceiling_upper of similarity metrics, and n_subjects.

    Raises
    ------
    TableError
        If a column is missing.
    """
    require_columns(alignment, ALIGNMENT_COLUMNS, "alignment")
    require_columns(
        ceilings, ("dataset", "metric", "scale", "region", "lower", "upper"), "noise ceilings"
    )
    rows = without_nan(alignment)
    if rows.is_empty():
        return pl.DataFrame(schema=SCORES_SCHEMA)
    keys = list(SCORE_KEYS)
    value = pl.col("score", "score_normalised", "noise_ceiling").mean()
    whole = rows.with_columns(region=pl.lit(ALL_REGIONS), network=pl.lit(""))
    columns = [*keys, "subject", "score", "score_normalised", "noise_ceiling"]
    means = (
        pl.concat([rows.select(columns), whole.select(columns)])
        .with_columns(pl.col("network").fill_null(""))
        .group_by([*keys, "subject"], maintain_order=True)
        .agg(value)
        .group_by(keys, maintain_order=True)
        .agg(
            *_moments("score"),
            *_moments("score_normalised"),
            pl.col("noise_ceiling").mean(),
        )
    )
    known = without_nan(ceilings).select("dataset", "metric", "scale", "region", "lower", "upper")
    overall = known.group_by("dataset", "metric", "scale").agg(pl.col("lower", "upper").mean())
    overall = overall.with_columns(region=pl.lit(ALL_REGIONS)).select(known.columns)
    bounds = pl.concat([known, overall]).rename(
        {"lower": "ceiling_lower", "upper": "ceiling_upper"}
    )
    return (
        means.join(
            bounds, on=["dataset", "metric", "scale", "region"], how="left", nulls_equal=True
        )
        .with_columns(
            *_interval("score", "score"),
            *_interval("score_normalised", "normalised"),
            _p_value("score"),
            normalised=pl.col("score_normalised"),
            n_subjects=pl.col("score_n"),
        )
        .select([pl.col(name).cast(kind) for name, kind in SCORES_SCHEMA.items()])
        .sort(keys, nulls_last=True)
    )


def _moments(name: str) -> list[pl.Expr]:
    column = pl.col(name)
    return [
        column.mean(),
        column.std().alias(f"{name}_sd"),
        column.count().cast(pl.Int64).alias(f"{name}_n"),
    ]


def _interval(name: str, label: str) -> list[pl.Expr]:
    """Limits of the t interval of a mean; null with one subject."""

    def half(columns: pl.Series) -> pl.Series:
        n = columns.struct.field(f"{name}_n").to_numpy()
        sd = columns.struct.field(f"{name}_sd").to_numpy().astype(float)
        several = np.where(n > 1, n, 2)
        width = stats.t.ppf((1 + LEVEL) / 2, several - 1) * sd / np.sqrt(several)
        return pl.Series(np.where(n > 1, width, np.nan)).fill_nan(None)

    width = pl.struct(f"{name}_n", f"{name}_sd").map_batches(half, return_dtype=pl.Float64)
    return [
        (pl.col(name) - width).alias(f"{label}_low"),
        (pl.col(name) + width).alias(f"{label}_high"),
    ]


def _p_value(name: str) -> pl.Expr:
    """Two-sided p of a one-sample t test against 0; null with one subject or no spread."""

    def p(columns: pl.Series) -> pl.Series:
        n = columns.struct.field(f"{name}_n").to_numpy()
        mean, sd = (
            columns.struct.field(field).to_numpy().astype(float) for field in (name, f"{name}_sd")
        )
        good = (n > 1) & (sd > 0)
        t = np.abs(mean) * np.sqrt(np.where(good, n, 1)) / np.where(good, sd, 1.0)
        found = 2 * stats.t.sf(t, np.where(good, n - 1, 1))
        return pl.Series(np.where(good, found, np.nan)).fill_nan(None)

    columns = pl.struct(name, f"{name}_n", f"{name}_sd")
    return columns.map_batches(p, return_dtype=pl.Float64).alias("p_subjects")
