"""How deep in a model is each region predicted best, and do modalities converge there?"""

from __future__ import annotations

import polars as pl

from convergent.stages.claims._material import Material, Tables, claim
from convergent.stages.claims._regions import surfaces
from convergent.statistics import (
    convergence,
    depth_bins,
    depth_profile,
    depth_tests,
    layer_scores,
    representation_depth,
)


@claim("layers", "depth_profile", "depth_tests", "convergence", "convergence_trend")
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


@claim("representation_depth", "representation_trend")
def representations(material: Material) -> Tables:
    """How alike vision and language models represent the same stimuli, over depth."""
    pairs = material.representations
    if pairs is None:
        pairs = pl.DataFrame(schema={"dataset": pl.String, "other_dataset": pl.String})
    by_depth, trend = representation_depth(pairs)
    return {"representation_depth": by_depth, "representation_trend": trend}
