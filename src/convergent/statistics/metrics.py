"""Several metrics side by side: which one stands for alignment, and what the others say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from convergent.errors import TableError
from convergent.statistics.performance import CORRELATION_SCHEMA, performance_alignment
from convergent.statistics.summaries import mask_by_ceiling, require_columns, without_nan

METRIC_CORRELATION_SCHEMA: dict[str, type[pl.DataType]] = {
    "metric": pl.String,
    "scale": pl.Float64,
    **CORRELATION_SCHEMA,
}


def of_metric(table: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Keep the rows of one metric that has no scales.

    Parameters
    ----------
    table : DataFrame
        Measurements or alignment, with ``metric`` and ``scale``.
    metric : str

    Raises
    ------
    TableError
        If the columns are missing, or the table has rows but none of that metric.
    """
    require_columns(table, ("metric", "scale"), "alignment or measurements")
    kept = without_nan(table).filter((pl.col("metric") == metric) & pl.col("scale").is_null())
    if table.height and not kept.height:
        known = ", ".join(table["metric"].unique().sort().to_list())
        raise TableError(
            f"no row of metric '{metric}' (there are: {known})",
            where="alignment or measurements",
            fix="rerun the fits, or name another metric first in fit.metrics",
        )
    return kept


def metric_correlations(
    alignment: pl.DataFrame,
    performance: pl.DataFrame,
    models: pl.DataFrame,
    *,
    benchmarks: Mapping[str, str | Sequence[str]],
    ceiling_threshold: float,
    seed: int,
    bootstraps: int,
    permutations: int,
) -> pl.DataFrame:
    """Ask `performance_alignment` of every metric and scale, over all regions.

    Parameters
    ----------
    alignment : DataFrame
        Alignment of all metrics, with ``metric``, ``scale`` and ``score_chance_corrected``.
    performance, models, benchmarks, ceiling_threshold, seed, bootstraps, permutations
        See `performance_alignment`.

    Returns
    -------
    DataFrame
        Rows as of `performance_alignment` with metric and scale; the measures are ``score`` and
        ``score_chance_corrected`` (null without permutations).
    """
    require_columns(alignment, ("metric", "scale", "score_chance_corrected"), "alignment")
    parts = [pl.DataFrame(schema=METRIC_CORRELATION_SCHEMA)]
    for (metric, scale), rows in _by_metric(alignment):
        found = performance_alignment(
            # a ceiling in r^2 is that of ridge alone; what all metrics have is their null
            rows.with_columns(score_normalised=pl.col("score_chance_corrected")),
            performance,
            models,
            benchmarks=benchmarks,
            ceiling_threshold=ceiling_threshold,
            seed=seed,
            bootstraps=bootstraps,
            permutations=permutations,
            scopes=("all",),
        )
        parts.append(
            found.select(
                pl.lit(metric, dtype=pl.String).alias("metric"),
                pl.lit(scale, dtype=pl.Float64).alias("scale"),
                pl.all().exclude("measure"),
                pl.col("measure").replace("score_normalised", "score_chance_corrected"),
            ).select(list(METRIC_CORRELATION_SCHEMA))
        )
    return pl.concat(parts)


def scale_profile(alignment: pl.DataFrame, *, ceiling_threshold: float) -> pl.DataFrame:
    """Average metrics that have scales over final trained models, by place in the brain.

    Parameters
    ----------
    alignment : DataFrame
        Alignment of all metrics.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, metric, scale, place), layers chosen on training data:
        score and calibrated (means over models of the means over subjects and regions),
        calibrated_sd (over models) and n_models. Places are networks where every region has one,
        else regions.
    """
    require_columns(alignment, ("metric", "scale", "score_chance_corrected"), "alignment")
    rows = without_nan(alignment).filter(
        pl.col("scale").is_not_null()
        & (pl.col("choice") == "best")
        & (pl.col("role") == "trained")
        & pl.col("final")
    )
    if rows.is_empty():
        return pl.DataFrame(schema=_PROFILE)
    kept = mask_by_ceiling(rows, ceiling_threshold=ceiling_threshold, several=True)
    named = (pl.col("network").is_not_null() & (pl.col("network") != "")).all().over("dataset")
    keys = ["dataset", "modality", "metric", "scale", "place"]
    value = pl.col("score", "score_chance_corrected").mean()
    return (
        kept.with_columns(place=pl.when(named).then("network").otherwise("region"))
        .group_by([*keys, "model", "subject"])
        .agg(value)
        .group_by([*keys, "model"])
        .agg(value)
        .group_by(keys)
        .agg(
            pl.col("score").mean(),
            calibrated=pl.col("score_chance_corrected").mean(),
            calibrated_sd=pl.col("score_chance_corrected").std(),
            n_models=pl.col("score").count().cast(pl.Int64),
        )
        .sort(keys)
    )


_PROFILE: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(("dataset", "modality", "metric"), pl.String),
    "scale": pl.Float64,
    "place": pl.String,
    **dict.fromkeys(("score", "calibrated", "calibrated_sd"), pl.Float64),
    "n_models": pl.Int64,
}


def _by_metric(
    alignment: pl.DataFrame,
) -> list[tuple[tuple[str, float | None], pl.DataFrame]]:
    groups = without_nan(alignment).group_by(["metric", "scale"], maintain_order=True)
    found: list[tuple[tuple[str, float | None], pl.DataFrame]] = []
    for (metric, scale), rows in groups:
        found.append(((str(metric), None if scale is None else float(scale)), rows))
    return sorted(found, key=lambda group: (group[0][0], group[0][1] or 0.0))


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
