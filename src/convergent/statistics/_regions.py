"""Which regions do models align with? With the false discovery rate kept in check."""

from __future__ import annotations

import math

import polars as pl

from ._multiplicity import benjamini_hochberg
from ._tables import ALIGNMENT_COLUMNS, one_metric, require_columns, without_nan

_GROUP = ["dataset", "modality", "family", "model", "checkpoint", "role", "step", "final", "choice"]


def region_profile(alignment: pl.DataFrame) -> pl.DataFrame:
    """Alignment of each checkpoint with each region, over subjects, tested over regions.

    The p value of a region is that of the mean over subjects, against the same mean in each
    permutation of the stimuli (``p_permutation``). Subjects who saw the same stimuli share what
    these evoke, so their p values are not independent and must not be multiplied.
    Benjamini-Hochberg runs over the regions of one (dataset, model, checkpoint, choice). No region
    is masked: the ceiling stands beside the score.

    Parameters
    ----------
    alignment : DataFrame
        Alignment table; ``p_permutation`` and ``p_fwe`` (permutation), ``depth`` (chosen relative
        depth) and ``axis_position`` are used where the table has them.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, family, model, checkpoint, role, step, final, choice,
        region, network): score and score_normalised (means over subjects), noise_ceiling, depth,
        hemisphere (empty where the data name none), axis_position, n_subjects, p (null without
        permutations), p_fwe (against the largest region of each permutation) and q.

    Raises
    ------
    TableError
        If a column is missing.
    """
    require_columns(alignment, ALIGNMENT_COLUMNS, "alignment")
    one_metric(alignment)
    frame = without_nan(alignment)
    absent = [
        name
        for name in ("p_permutation", "p_fwe", "depth", "axis_position")
        if name not in frame.columns
    ]
    frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent)
    if "hemisphere" not in frame.columns:
        frame = frame.with_columns(hemisphere=pl.lit(None, dtype=pl.String))
    keys = [*_GROUP, "region", "network"]
    means = (
        frame.sort([*keys, "subject"], nulls_last=True)
        .group_by(keys, maintain_order=True)
        .agg(
            pl.col("score", "score_normalised", "noise_ceiling", "depth").mean(),
            pl.col("hemisphere").first().fill_null(""),
            pl.col("axis_position").first(),
            n_subjects=pl.col("score").count().cast(pl.Int64),
            p=pl.col("p_permutation").first(),
            p_fwe=pl.col("p_fwe").first(),
        )
    )
    parts = [
        part.with_columns(
            q=pl.Series("q", benjamini_hochberg(part["p"].fill_null(math.nan).to_numpy()))
        )
        for _, part in means.group_by(_GROUP, maintain_order=True)
    ]
    return without_nan(pl.concat(parts)) if parts else means.with_columns(q=pl.col("p"))


def modality_profile(profile: pl.DataFrame) -> pl.DataFrame:
    """Average the region profiles of the final trained models of each modality.

    Parameters
    ----------
    profile : DataFrame
        From `region_profile`.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, choice, region, network): score, score_normalised, depth
        (means over models), score_sd, noise_ceiling, hemisphere, axis_position, n_models,
        n_significant (models with q < 0.05; null when nothing was permuted).
    """
    keys = ["dataset", "modality", "choice", "region", "network"]
    return (
        profile.filter((pl.col("role") == "trained") & pl.col("final"))
        .group_by(keys)
        .agg(
            pl.col("score", "score_normalised", "noise_ceiling", "depth").mean(),
            score_sd=pl.col("score").std(),
            hemisphere=pl.col("hemisphere").first(),
            axis_position=pl.col("axis_position").first(),
            n_models=pl.col("score").count().cast(pl.Int64),
            n_significant=pl.when(pl.col("q").is_not_null().any()).then(
                (pl.col("q") < 0.05).sum().cast(pl.Int64)
            ),
        )
        .sort("dataset", "modality", "choice", "axis_position", "region", nulls_last=True)
    )
