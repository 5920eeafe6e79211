"""The study's claims: what each asks of the statistics, and the tables that it makes."""

from __future__ import annotations

from typing import Any

import polars as pl

from convergent.pipeline.claims.material import Material, Tables
from convergent.statistics import (
    METRIC_CORRELATION_SCHEMA,
    SCORE_KEYS,
    Axis,
    Surface,
    axis_of,
    ceiling_summary,
    contamination_table,
    convergence,
    depth_bins,
    depth_profile,
    depth_tests,
    gradients,
    layer_scores,
    metric_correlations,
    mixed_table,
    modality_profile,
    model_alignment,
    performance_alignment,
    recovery,
    region_profile,
    region_tests,
    representation_depth,
    scale_curves,
    scale_peaks,
    scale_profile,
    scale_shifts,
    subject_means,
    subject_profile,
    subject_scores,
    surface_of,
    training_leads,
    training_onsets,
    trajectories,
    typical_p,
)


def alignment(material: Material) -> Tables:
    """Means of the primary metric."""
    profile = region_profile(material.main)
    return {
        "model_alignment": model_alignment(material.main, ceiling_threshold=material.threshold),
        "region_profile": profile,
        "modality_profile": modality_profile(profile),
        "subject_profile": subject_profile(material.main),
    }


def every_metric(material: Material) -> Tables:
    """Means of every metric, with intervals over subjects and noise ceilings."""
    parts: list[Tables] = []

    def add(rows: pl.DataFrame, ceilings: pl.DataFrame) -> None:
        parts.append(
            {
                "scores": subject_scores(rows, ceilings),
                "ceiling_summary": ceiling_summary(ceilings, rows),
                "scale_profile": scale_profile(rows, ceiling_threshold=material.threshold),
            }
        )

    rest = material.ceilings
    for rows in material.each_metric():
        kind = rows.select("metric", "scale").unique()
        add(rows, rest.join(kind, on=["metric", "scale"], how="semi", nulls_equal=True))
        rest = rest.join(kind, on=["metric", "scale"], how="anti", nulls_equal=True)
    add(material.alignment.clear().collect(), rest)
    keys = {
        "scores": list(SCORE_KEYS),
        "ceiling_summary": ["dataset", "metric", "scale"],
        "scale_profile": ["dataset", "modality", "metric", "scale", "place"],
    }
    return {
        name: pl.concat([part[name] for part in parts]).sort(by, nulls_last=name == "scores")
        for name, by in keys.items()
    }


def study_size(material: Material) -> Tables:
    """How much the study holds, by data set."""
    lengths = (
        material.measurements.group_by("dataset")
        .agg(
            measurements=pl.len().cast(pl.Int64),
            models=pl.col("model").n_unique().cast(pl.Int64),
            subjects=pl.col("subject").n_unique().cast(pl.Int64),
            regions=pl.col("region").n_unique().cast(pl.Int64),
        )
        .sort("dataset")
    )
    return {"study_size": lengths.collect(engine="streaming")}


def performance(material: Material) -> Tables:
    """Correlate performance and alignment over models, of the primary and of every metric."""
    asked = _asked(material) | {
        "bootstraps": material.bootstraps,
        "permutations": material.permutations,
    }
    scores, models = material.performance, material.models
    by_metric = [
        metric_correlations(rows, scores, models, **asked) for rows in material.each_metric()
    ]
    return {
        "correlations": performance_alignment(material.main, scores, models, **asked),
        "metric_correlations": pl.concat(
            [pl.DataFrame(schema=METRIC_CORRELATION_SCHEMA), *by_metric]
        ),
    }


def adjusted(material: Material) -> Tables:
    """Performance's effect given size and family; r without models that saw the images."""
    asked = _asked(material) | {"draws": material.permutations}
    scores, models = material.performance, material.models
    return {
        "mixed": mixed_table(material.main, scores, models, **asked),
        "contamination": contamination_table(material.main, scores, models, **asked),
    }


def _asked(material: Material) -> dict[str, Any]:
    return {
        "benchmarks": material.benchmarks,
        "ceiling_threshold": material.threshold,
        "seed": material.seed,
    }


def regions(material: Material) -> Tables:
    """Regions and networks against chance, each other and between modalities; the gradient."""
    rows = material.main.filter((pl.col("role") == "trained") & pl.col("final"))
    profile = region_profile(rows)
    return {
        "region_tests": region_tests(
            profile,
            surfaces(material),
            permutations=material.permutations,
            seed=material.seed,
        ),
        "gradient": gradients(profile, subject_means(rows), axes(material)),
    }


def surfaces(material: Material) -> dict[str, Surface]:
    """Where the regions of each data set lie on the sphere."""
    return {
        dataset: surface_of(part.select("region", "hemisphere").rows())
        for dataset, part in material.places.items()
    }


def axes(material: Material) -> dict[str, Axis]:
    """Where the regions of each data set lie between the senses and association."""
    return {dataset: axis_of(part.rows()) for dataset, part in material.places.items()}


def depth(material: Material) -> Tables:
    """Alignment of layers and over relative depth, and the similarity of modalities' profiles."""
    layers = layer_scores(material.measurements, material.primary)
    binned = depth_bins(layers, ceiling_threshold=material.threshold)
    by_depth, trend = convergence(binned, surfaces(material))
    return {
        "layers": layers,
        "depth_profile": depth_profile(binned),
        "depth_tests": depth_tests(binned, bootstraps=material.bootstraps, seed=material.seed),
        "convergence": by_depth,
        "convergence_trend": trend,
    }


def representations(material: Material) -> Tables:
    """How alike vision and language models represent the same stimuli, over depth."""
    pairs = material.representations
    if pairs is None:
        pairs = pl.DataFrame(schema={"dataset": pl.String, "other_dataset": pl.String})
    by_depth, trend = representation_depth(pairs)
    return {"representation_depth": by_depth, "representation_trend": trend}


def scale(material: Material) -> Tables:
    """Peaks over the bandwidth of metrics that have one, and their shift along the axis."""
    curves = scale_curves(material.alignment, ceiling_threshold=material.threshold)
    peaks = scale_peaks(
        curves,
        typical_p(material.alignment),
        bootstraps=material.bootstraps,
        seed=material.seed,
    )
    places = axes(material) if curves.height else {}
    return {"scale_peaks": peaks, "scale_shift": scale_shifts(curves, peaks, places)}


def training(material: Material) -> Tables:
    """Every checkpoint that has a training step, onsets of its curves, and their lags."""
    table = trajectories(
        material.main,
        material.performance,
        benchmarks=material.benchmarks,
        ceiling_threshold=material.threshold,
    )
    return {
        "trajectories": table,
        "onsets": training_onsets(table, material.main, ceiling_threshold=material.threshold),
        "leads": training_leads(
            table,
            material.main,
            material.resampled,
            ceiling_threshold=material.threshold,
            seed=material.seed,
            draws=material.permutations,
        ),
    }


def planted(material: Material) -> Tables:
    """Planted structure beside what came out."""
    first = {modality: names[0] for modality, names in material.benchmarks.items() if names}
    empty = pl.DataFrame(schema={"dataset": pl.String})
    tables = {"recovery_regions": [empty], "recovery_checks": [empty]}
    for (dataset,), truth in material.simulation_truth.group_by(["dataset"], maintain_order=True):
        found = recovery(
            material.main.filter(pl.col("dataset") == dataset),
            truth.drop("dataset"),
            material.performance,
            benchmarks=first,
        )
        named = pl.lit(dataset).alias("dataset")
        tables["recovery_regions"].append(found.regions.select(named, pl.all()))
        tables["recovery_checks"].append(found.checks.select(named, pl.all()))
    return {name: pl.concat(parts, how="diagonal") for name, parts in tables.items()}
