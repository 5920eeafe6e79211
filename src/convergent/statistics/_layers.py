"""Every layer's scores, over subjects."""

from __future__ import annotations

import polars as pl

_KEYS = (
    *("dataset", "modality", "family", "model", "checkpoint", "role", "step", "final"),
    *("layer", "layer_index", "depth", "region", "network"),
)


def layer_scores(measurements: pl.LazyFrame | pl.DataFrame, metric: str) -> pl.DataFrame:
    """Average the measurements of final trained models over subjects.

    Parameters
    ----------
    measurements : LazyFrame or DataFrame
    metric : str
        One that has no scales.

    Returns
    -------
    DataFrame
        One row per (dataset, model, layer, region): score, score_normalised, noise_ceiling
        (means), axis_position and n_subjects.
    """
    mine = (
        (pl.col("metric") == metric)
        & pl.col("scale").is_null()
        & (pl.col("role") == "trained")
        & pl.col("final")
    )
    value = pl.col("score", "score_normalised", "noise_ceiling").fill_nan(None).mean()
    return (
        measurements.lazy()
        .filter(mine)
        .group_by(_KEYS)
        .agg(
            value,
            pl.col("axis_position").first(),
            n_subjects=pl.col("score").fill_nan(None).count().cast(pl.Int64),
        )
        .sort("dataset", "family", "model", "checkpoint", "layer_index", "axis_position", "region")
        .collect(engine="streaming")
    )
