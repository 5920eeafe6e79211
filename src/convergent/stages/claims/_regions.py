"""Where in the brain do models align, and does that follow the axis from senses to association?"""

from __future__ import annotations

import polars as pl

from convergent.stages.claims._material import Material, Tables, claim
from convergent.statistics import (
    Axis,
    Surface,
    axis_of,
    gradients,
    region_profile,
    region_tests,
    subject_means,
    surface_of,
)

_PLACE = ("dataset", "region", "hemisphere", "region_order")


@claim("region_tests", "gradient")
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


def places(material: Material) -> dict[str, pl.DataFrame]:
    """Regions of each data set: region, hemisphere, region_order."""
    rows = material.alignment
    absent = [name for name in _PLACE if name not in rows.collect_schema().names()]
    kinds = {"hemisphere": pl.String, "region_order": pl.Float64}
    found = (
        rows.with_columns(pl.lit(None, dtype=kinds[name]).alias(name) for name in absent)
        .group_by("dataset", "region")
        .agg(pl.col("hemisphere").first().fill_null(""), pl.col("region_order").first())
        .sort("dataset", "region")
        .collect()
    )
    return {
        str(dataset): part.select("region", "hemisphere", "region_order")
        for (dataset,), part in found.group_by(["dataset"], maintain_order=True)
    }


def surfaces(material: Material) -> dict[str, Surface]:
    """Where the regions of each data set lie on the sphere."""
    return {
        dataset: surface_of(part.select("region", "hemisphere").rows())
        for dataset, part in places(material).items()
    }


def axes(material: Material) -> dict[str, Axis]:
    """Where the regions of each data set lie between the senses and association."""
    return {dataset: axis_of(part.rows()) for dataset, part in places(material).items()}
