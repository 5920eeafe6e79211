"""The tables that figures read, derived once from the study's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from convergent.statistics import (
    modality_profile,
    model_alignment,
    of_metric,
    recovery,
    region_profile,
    scale_profile,
    trajectories,
)


def figure_tables(
    *,
    alignment: pl.DataFrame,
    measurements: pl.DataFrame,
    performance: pl.DataFrame,
    models: pl.DataFrame,
    correlations: pl.DataFrame,
    benchmarks: Mapping[str, str | Sequence[str]],
    ceiling_threshold: float,
    primary: str = "ridge_r",
    metric_correlations: pl.DataFrame | None = None,
    truth: pl.DataFrame | None = None,
) -> dict[str, pl.DataFrame]:
    """Derive every table that the registered figures ask for.

    Parameters
    ----------
    alignment, measurements, performance, models, correlations : DataFrame
        The study's tables.
    benchmarks : dict of str to str, or to several
        Benchmark(s) of each modality.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts.
    primary : str
        The metric that stands for alignment.
    metric_correlations : DataFrame, optional
        From `convergent.statistics.metric_correlations`.
    truth : DataFrame, optional
        Planted truth of simulated data sets: dataset, region, high_level, noise_ceiling, driven.

    Returns
    -------
    dict of str to DataFrame
        alignment and measurements (of the primary metric), performance, models, correlations,
        model_alignment, trajectories, region_profile, modality_profile, scale_profile and, where
        given, metric_correlations; with truth, recovery_regions and
        recovery_checks.
    """
    scales = scale_profile(alignment, ceiling_threshold=ceiling_threshold)
    alignment = of_metric(alignment, primary)
    profile = region_profile(alignment)
    tables = {
        "alignment": alignment,
        "measurements": of_metric(measurements, primary),
        "performance": performance,
        "models": models,
        "correlations": correlations,
        "model_alignment": model_alignment(alignment, ceiling_threshold=ceiling_threshold),
        "trajectories": trajectories(
            alignment,
            performance,
            benchmarks=benchmarks,
            ceiling_threshold=ceiling_threshold,
        ),
        "region_profile": profile,
        "modality_profile": modality_profile(profile),
        "scale_profile": scales,
    }
    if metric_correlations is not None:
        tables["metric_correlations"] = metric_correlations
    if truth is not None and truth.height:
        tables |= _recoveries(alignment, truth, performance, benchmarks)
    return tables


def _recoveries(
    alignment: pl.DataFrame,
    truth: pl.DataFrame,
    performance: pl.DataFrame,
    benchmarks: Mapping[str, str | Sequence[str]],
) -> dict[str, pl.DataFrame]:
    first = {
        modality: names if isinstance(names, str) else names[0]
        for modality, names in benchmarks.items()
        if names
    }
    regions, checks = [], []
    for (dataset,), planted in truth.group_by(["dataset"], maintain_order=True):
        found = recovery(
            alignment.filter(pl.col("dataset") == dataset),
            planted,
            performance,
            benchmarks=first,
        )
        label = pl.lit(dataset).alias("dataset")
        regions.append(found.regions.select(label, pl.all()))
        checks.append(found.checks.select(label, pl.all()))
    return {"recovery_regions": pl.concat(regions), "recovery_checks": pl.concat(checks)}
