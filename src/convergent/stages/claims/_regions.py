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


def surfaces(material: Material) -> dict[str, Surface]:
    """Where the regions of each data set lie on the sphere."""
    return {
        dataset: surface_of(part.select("region", "hemisphere").rows())
        for dataset, part in material.places.items()
    }


def axes(material: Material) -> dict[str, Axis]:
    """Where the regions of each data set lie between the senses and association."""
    return {dataset: axis_of(part.rows()) for dataset, part in material.places.items()}
