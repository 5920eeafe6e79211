"""Do models that perform better align better?"""

from __future__ import annotations

from typing import Any

import polars as pl

from convergent.stages.claims._material import Material, Tables, claim
from convergent.statistics import (
    METRIC_CORRELATION_SCHEMA,
    contamination_table,
    metric_correlations,
    mixed_table,
    performance_alignment,
)


@claim("correlations", "metric_correlations")
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


@claim("mixed", "contamination")
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
