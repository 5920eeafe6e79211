"""How well models align with the brain: by model, by region, by subject."""

from __future__ import annotations

import polars as pl

from convergent.stages.claims._material import Material, Tables, claim
from convergent.statistics import (
    SCORE_KEYS,
    ceiling_summary,
    modality_profile,
    model_alignment,
    region_profile,
    scale_profile,
    subject_profile,
    subject_scores,
)


@claim("model_alignment", "region_profile", "modality_profile", "subject_profile")
def alignment(material: Material) -> Tables:
    """Means of the primary metric."""
    profile = region_profile(material.main)
    return {
        "model_alignment": model_alignment(material.main, ceiling_threshold=material.threshold),
        "region_profile": profile,
        "modality_profile": modality_profile(profile),
        "subject_profile": subject_profile(material.main),
    }


@claim("scores", "ceiling_summary", "scale_profile")
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


@claim("counts")
def counts(material: Material) -> Tables:
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
    return {"counts": lengths.collect(engine="streaming")}
