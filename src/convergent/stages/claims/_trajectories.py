"""Which comes first in training?"""

from __future__ import annotations

from convergent.stages.claims._material import Material, Tables, claim
from convergent.statistics import trajectories


@claim("trajectories")
def training(material: Material) -> Tables:
    """Performance and alignment of every checkpoint that has a training step."""
    return {
        "trajectories": trajectories(
            material.main,
            material.performance,
            benchmarks=material.benchmarks,
            ceiling_threshold=material.threshold,
        )
    }
