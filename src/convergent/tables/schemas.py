"""Columns of the tables, what may stand in them, and what makes a row of them one of a kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from convergent.study.types import COUNTED

_KEYS: dict[str, Any] = {
    "study": pl.String,
    "dataset": pl.String,
    "modality": pl.String,
    "family": pl.String,
    "model": pl.String,
    "checkpoint": pl.String,
    "role": pl.String,
    "step": pl.Int64,
    "final": pl.Boolean,
}
_REGION: dict[str, Any] = {
    "subject": pl.String,
    "region": pl.String,
    "hemisphere": pl.String,
    "network": pl.String,
    "axis_position": pl.Float64,
}
_SCORE: dict[str, Any] = {
    "score": pl.Float64,
    "noise_ceiling": pl.Float64,
    "score_normalised": pl.Float64,
    "n_targets": pl.Int64,
    "null_mean": pl.Float64,
    "null_sd": pl.Float64,
    "p": pl.Float64,
    "score_chance_corrected": pl.Float64,
}
_METRIC: dict[str, Any] = {"metric": pl.String, "scale": pl.Float64}
MEASUREMENT_SCHEMA: dict[str, Any] = {
    **_KEYS,
    "layer": pl.String,
    "layer_index": pl.Int64,
    "depth": pl.Float64,
    **_REGION,
    **_METRIC,
    **_SCORE,
    "score_median": pl.Float64,
    "selection_score": pl.Float64,
    "log10_alpha": pl.Float64,
    "alpha_edge_share": pl.Float64,
    "width": pl.Int64,
    "n_features": pl.Int64,
    "effective_dimensionality": pl.Float64,
    "parameters": pl.Int64,
    "tags": pl.String,
    "weights_sha256": pl.String,
}
ALIGNMENT_SCHEMA: dict[str, Any] = {
    **_KEYS,
    **_REGION,
    **_METRIC,
    "choice": pl.String,
    "depth": pl.Float64,
    **_SCORE,
    "p_permutation": pl.Float64,
    "p_fwe": pl.Float64,
}
COVERAGE_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(
        ("dataset", "family", "model", "checkpoint", "layer", "subject", "status", "reason"),
        pl.String,
    ),
    **dict.fromkeys(COUNTED, pl.Int64),
}
RESAMPLED_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("dataset", "family", "model", "checkpoint", "subject", "choice"), pl.String),
    "resample": pl.Int64,
    "alignment": pl.Float64,
}
CEILING_SCHEMA: dict[str, Any] = {
    "dataset": pl.String,
    **_METRIC,
    "region": pl.String,
    "lower": pl.Float64,
    "upper": pl.Float64,
    "n_subjects": pl.Int64,
    "n_stimuli": pl.Int64,
}
_LAYER: dict[str, Any] = {
    **dict.fromkeys(("family", "model", "layer"), pl.String),
    "depth": pl.Float64,
}
REPRESENTATIONS_SCHEMA: dict[str, Any] = {
    "dataset": pl.String,
    **_LAYER,
    "other_dataset": pl.String,
    **{f"other_{name}": kind for name, kind in _LAYER.items()},
    **dict.fromkeys(("cka", "null_mean", "null_sd", "p", "score_chance_corrected"), pl.Float64),
    "n_items": pl.Int64,
}
MODELS_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("model", "family", "modality", "source", "reference", "revision"), pl.String),
    "parameters": pl.Int64,
    "layers": pl.Int64,
    "width": pl.Float64,
    "tags": pl.String,
}
PERFORMANCE_SCHEMA: dict[str, Any] = {
    "study": pl.String,
    "modality": pl.String,
    "family": pl.String,
    "model": pl.String,
    "checkpoint": pl.String,
    "role": pl.String,
    "step": pl.Int64,
    "final": pl.Boolean,
    "parameters": pl.Int64,
    "benchmark": pl.String,
    "score": pl.Float64,
    "source": pl.String,
}
TRUTH_SCHEMA: dict[str, Any] = {
    "dataset": pl.String,
    "region": pl.String,
    "high_level": pl.Float64,
    "noise_ceiling": pl.Float64,
    "driven": pl.Boolean,
}
# Tables with a part for every model and family.
SCHEMAS: dict[str, dict[str, Any]] = {
    "measurements": MEASUREMENT_SCHEMA,
    "alignment": ALIGNMENT_SCHEMA,
    "coverage": COVERAGE_SCHEMA,
    "resampled": RESAMPLED_SCHEMA,
}
SORTED_BY = (
    "dataset", "family", "model", "checkpoint", "layer_index", "layer", "choice", "subject",
    "region", "metric", "scale", "resample",
)  # fmt: skip

# Sums of float32 products may pass a bound by rounding.
_ROUNDING = 1e-5
# Shares of variance: as far below zero as a fit can be wrong.
_SHARES_OF_VARIANCE = ("ridge_r2", "nuisance_r2", "unique")
_CORRELATIONS = ("ridge_r", "unique_r", "cka", "cka_rbf", "cka_biased", "cka_rbf_biased", "knn",
                 "rsa_spearman", "rsa_pearson", "rsa_cosine", "rsa_whitened")  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """What a table must look like.

    Attributes
    ----------
    columns : dict of str to polars type
    keys : tuple of str
        In the order of the rows; no two rows have the same. Empty: rows in any order.
    ranges : dict of str to (low, high)
        Values that a column may have, both ends included.
    """

    columns: Mapping[str, Any]
    keys: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def correlations(self) -> bool:
        """Whether scores of known metrics are bounded below too."""
        return "metric" in self.columns and "score" in self.columns

    def impossible_score(self) -> pl.Expr:
        """Rows whose score is beyond what its metric can be."""
        low = pl.when(pl.col("metric").is_in(_CORRELATIONS)).then(-1 - _ROUNDING)
        known = pl.col("metric").is_in((*_CORRELATIONS, *_SHARES_OF_VARIANCE))
        score = pl.col("score")
        return (score < low) | (known & (score > 1 + _ROUNDING))


_POSITIVE = (0.0, float("inf"))
_RANGES: dict[str, tuple[float, float]] = {
    "depth": (0, 1),
    "p": (0, 1),
    "p_permutation": (0, 1),
    "p_fwe": (0, 1),
    "alpha_edge_share": (0, 1),
    "noise_ceiling": (-1 - _ROUNDING, 1 + _ROUNDING),
    **dict.fromkeys(
        ("null_sd", "n_targets", "width", "n_features", "effective_dimensionality", "parameters"),
        _POSITIVE,
    ),
}


def _shape(schema: Mapping[str, Any], *more_keys: str) -> Shape:
    return Shape(
        columns=schema,
        keys=(*(name for name in SORTED_BY if name in schema), *more_keys),
        ranges={name: limits for name, limits in _RANGES.items() if name in schema},
    )


SHAPES: dict[str, Shape] = {
    "measurements": _shape(MEASUREMENT_SCHEMA),
    "alignment": _shape(ALIGNMENT_SCHEMA),
    "coverage": _shape(COVERAGE_SCHEMA),
    "resampled": _shape(RESAMPLED_SCHEMA),
    "ceilings": _shape(CEILING_SCHEMA),
    "representations": Shape(
        REPRESENTATIONS_SCHEMA, ranges={"depth": (0, 1), "other_depth": (0, 1), "p": (0, 1)}
    ),
    # these keep the order in which the study names them
    "performance": Shape(PERFORMANCE_SCHEMA),
    "models": Shape(MODELS_SCHEMA),
    "simulation_truth": Shape(TRUTH_SCHEMA, ranges={"noise_ceiling": _RANGES["noise_ceiling"]}),
}
