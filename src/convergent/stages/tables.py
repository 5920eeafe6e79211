"""Tables of measurements: their columns, and how they are written and read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from convergent.alignment import normalise_by_ceiling
from convergent.alignment.similarity import calibrate
from convergent.errors import StoreError
from convergent.store import Store, publish
from convergent.study import Checkpoint, Model, Study

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
    "region_order": pl.Float64,
}
_SCORE: dict[str, Any] = {
    "score": pl.Float64,
    "noise_ceiling": pl.Float64,
    "score_normalised": pl.Float64,
    "n_targets": pl.Int64,
    "null_mean": pl.Float64,
    "null_sd": pl.Float64,
    "p": pl.Float64,
    "score_calibrated": pl.Float64,
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
    "inner_score": pl.Float64,
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
    "p_group": pl.Float64,
    "p_fwe": pl.Float64,
}
COVERAGE_SCHEMA: dict[str, Any] = dict.fromkeys(
    ("dataset", "family", "model", "checkpoint", "layer", "subject", "status", "reason"),
    pl.String,
)
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
SCHEMAS = {
    "measurements": MEASUREMENT_SCHEMA,
    "alignment": ALIGNMENT_SCHEMA,
    "coverage": COVERAGE_SCHEMA,
    "resampled": RESAMPLED_SCHEMA,
}
_SORTED_BY = (
    "dataset", "family", "model", "checkpoint", "layer_index", "layer", "choice", "subject",
    "region", "metric", "scale", "resample",
)  # fmt: skip


def write_table(
    path: str, frames: Sequence[pl.DataFrame], schema: dict[str, Any], sort: bool = True
) -> None:
    """Write a parquet table atomically, with a fixed schema and row order."""
    table = pl.concat([pl.DataFrame(schema=schema), *frames])
    if sort:
        table = table.sort([name for name in _SORTED_BY if name in schema])
    with publish(path) as temporary:
        table.write_parquet(temporary, statistics=True)


def read_table(path: str) -> pl.DataFrame:
    """Read a parquet table.

    Raises
    ------
    StoreError
        Missing or damaged.
    """
    if not Path(path).exists():
        raise StoreError("the table is missing", where=path, fix="run its rule")
    try:
        return pl.read_parquet(path)
    except pl.exceptions.ComputeError as error:
        raise StoreError(
            f"the table is damaged ({error})", where=path, fix="delete it and rerun its rule"
        ) from None


def keys(study: Study, model: Model, dataset: str, checkpoint: Checkpoint) -> dict[str, Any]:
    """Columns that say what a row belongs to."""
    return {
        "study": study.name,
        "dataset": dataset,
        "modality": model.modality,
        "family": model.family,
        "model": model.key,
        "checkpoint": checkpoint.name,
        "role": checkpoint.role,
        "step": checkpoint.step,
        "final": checkpoint.final,
    }


def regions(store: Store) -> dict[str, Any]:
    """Columns that describe the regions of an alignment store."""
    return {
        name: store[name].tolist() for name in ("region", "hemisphere", "network", "region_order")
    }


def frame(columns: dict[str, Any], schema: dict[str, Any]) -> pl.DataFrame:
    """Make a frame of one row a region; scalars are repeated, NaN becomes null."""
    n = len(columns["region"])
    series = []
    for name, dtype in schema.items():
        value = columns.get(name)
        if isinstance(value, list | np.ndarray):
            series.append(pl.Series(name, value, dtype=dtype, strict=False))
        else:
            series.append(pl.Series(name, [value] * n, dtype=dtype))
    return pl.DataFrame(series).with_columns(pl.selectors.float().fill_nan(None))


def share_of_ceiling(
    metric: str, score: np.ndarray, ceiling: np.ndarray, *, threshold: float
) -> np.ndarray | None:
    """Score as a share of what noise allows, per region.

    Correlations are divided by the square root of the ceiling, which is in r^2 units, and unique
    variance by the ceiling itself. None for other metrics: the ceiling is of responses.
    """
    if metric == "ridge_r":
        return normalise_by_ceiling(score, ceiling, threshold=threshold)
    if metric == "unique":
        # r / sqrt(ceiling), once more divided by it
        once = normalise_by_ceiling(score, ceiling, threshold=threshold)
        return normalise_by_ceiling(once, ceiling, threshold=threshold)
    return None


def against_null(score: np.ndarray, null: np.ndarray | None) -> dict[str, np.ndarray]:
    """Null's mean and sd, one-sided p, and score as share of what lies above chance, per region."""
    if null is None or len(null) == 0:
        return {}
    found = calibrate(score, null)
    return {
        "null_mean": found.null_mean,
        "null_sd": found.null_sd,
        "p": found.p,
        "score_calibrated": found.score,
    }
