"""Do models that perform better align better?"""

from __future__ import annotations

from typing import Any

from convergent.stages.claims._material import Material, Tables, claim
from convergent.statistics import metric_correlations, performance_alignment


@claim("correlations", "metric_correlations")
def performance(material: Material) -> Tables:
    """Correlate performance and alignment over models, of the primary and of every metric."""
    asked: dict[str, Any] = {
        "benchmarks": material.benchmarks,
        "ceiling_threshold": material.threshold,
        "seed": material.seed,
        "bootstraps": material.bootstraps,
        "permutations": material.permutations,
    }
    scores, models = material.performance, material.models
    every = material.alignment.collect()
    return {
        "correlations": performance_alignment(material.main, scores, models, **asked),
        "metric_correlations": metric_correlations(every, scores, models, **asked),
    }
