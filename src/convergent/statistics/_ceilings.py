"""How near models come to what the subjects' agreement allows."""

from __future__ import annotations

import polars as pl

from ._tables import require_columns, without_nan

_KEYS = ["dataset", "metric", "scale"]


def ceiling_summary(ceilings: pl.DataFrame, alignment: pl.DataFrame) -> pl.DataFrame:
    """Average noise ceilings over regions, beside the scores of final trained models.

    Parameters
    ----------
    ceilings : DataFrame
        One row per (dataset, metric, scale, region): lower, upper, n_subjects, n_stimuli.
    alignment : DataFrame
        Alignment of all metrics.

    Returns
    -------
    DataFrame
        One row per (dataset, metric, scale) of the ceilings: lower and upper, means over regions
        with a value, and n_subjects, n_stimuli; score, the mean over final trained models (layers
        chosen on training data) of the means over subjects and regions with a value, and n_models.

    Raises
    ------
    TableError
        If a column is missing.
    """
    require_columns(
        ceilings, (*_KEYS, "lower", "upper", "n_subjects", "n_stimuli"), "noise ceilings"
    )
    require_columns(
        alignment, (*_KEYS, "model", "role", "final", "choice", "subject", "score"), "alignment"
    )
    models = (
        without_nan(alignment)
        .filter((pl.col("choice") == "best") & (pl.col("role") == "trained") & pl.col("final"))
        .group_by([*_KEYS, "model", "subject"], maintain_order=True)
        .agg(pl.col("score").mean())
        .group_by([*_KEYS, "model"], maintain_order=True)
        .agg(pl.col("score").mean())
        .group_by(_KEYS, maintain_order=True)
        .agg(pl.col("score").mean(), n_models=pl.col("score").count().cast(pl.Int64))
    )
    return (
        without_nan(ceilings)
        .group_by(_KEYS, maintain_order=True)
        .agg(pl.col("lower", "upper").mean(), pl.col("n_subjects", "n_stimuli").first())
        .join(models, on=_KEYS, how="left", nulls_equal=True)
        .with_columns(pl.col("n_models").fill_null(0))
        .sort(_KEYS)
    )
