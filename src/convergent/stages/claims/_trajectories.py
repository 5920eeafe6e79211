"""Which comes first in training?"""

from __future__ import annotations

from convergent.stages.claims._material import Material, Tables, claim
from convergent.statistics import training_leads, training_onsets, trajectories


@claim("trajectories", "onsets", "leads")
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
