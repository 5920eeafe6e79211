"""How deep in a model is each region predicted best, and do modalities converge there?"""

from __future__ import annotations

from convergent.stages.claims._material import Material, Tables, claim
from convergent.stages.claims._regions import surfaces
from convergent.statistics import (
    convergence,
    depth_bins,
    depth_profile,
    depth_tests,
    layer_scores,
)


@claim("depth_profile", "depth_tests", "convergence", "convergence_trend")
def depth(material: Material) -> Tables:
    """Alignment over relative depth, and the similarity of modalities' region profiles."""
    layers = layer_scores(material.measurements, material.primary)
    binned = depth_bins(layers, ceiling_threshold=material.threshold)
    by_depth, trend = convergence(binned, surfaces(material))
    return {
        "depth_profile": depth_profile(binned),
        "depth_tests": depth_tests(binned, bootstraps=material.bootstraps, seed=material.seed),
        "convergence": by_depth,
        "convergence_trend": trend,
    }
