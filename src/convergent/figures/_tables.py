"""The tables that figures read, derived once from the study's tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from convergent.statistics import (
    modality_profile,
    model_alignment,
    recovery,
    region_profile,
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
    truth : DataFrame, optional
        Planted truth of simulated data sets: dataset, region, high_level, noise_ceiling, driven.

    Returns
    -------
    dict of str to DataFrame
        alignment, measurements, performance, models, correlations, model_alignment,
        trajectories, region_profile, modality_profile and, with truth, recovery_regions and
        recovery_checks.
    """
    profile = region_profile(alignment)
    tables = {
        "alignment": alignment,
        "measurements": measurements,
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
    }
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
