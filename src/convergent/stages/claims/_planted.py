"""Simulated data sets: does the study find what was planted?"""

from __future__ import annotations

import polars as pl

from convergent.stages.claims._material import Material, Tables, claim
from convergent.statistics import recovery


@claim("recovery_regions", "recovery_checks")
def planted(material: Material) -> Tables:
    """Planted structure beside what came out."""
    first = {modality: names[0] for modality, names in material.benchmarks.items() if names}
    empty = pl.DataFrame(schema={"dataset": pl.String})
    tables = {"recovery_regions": [empty], "recovery_checks": [empty]}
    for (dataset,), truth in material.truth.group_by(["dataset"], maintain_order=True):
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
