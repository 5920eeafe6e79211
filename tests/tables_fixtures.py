"""Measurements and alignment in the real schema, made up: every number is known."""

from __future__ import annotations

import json
from itertools import chain, product
from pathlib import Path
from typing import Any

import polars as pl

from convergent.study.paths import Paths
from convergent.tables.files import writing
from convergent.tables.frames import write_table
from convergent.tables.schemas import ALIGNMENT_SCHEMA, MEASUREMENT_SCHEMA

MODELS = {"vit": ["vit-a", "vit-b"], "cnn": ["cnn-a"]}
METRICS = (("cka", None), ("cka_rbf", 0.5), ("cka_rbf", 2.0), ("ridge_r", None))
DATASETS, SUBJECTS, REGIONS = ("one", "two"), ("s1", "s2"), ("V1", "V2", "V4")
LAYERS = ("blocks.0", "blocks.1", "blocks.10")

IDENTITY = "0" * 16


def measurement_rows(family: str) -> pl.DataFrame:
    """All rows of a family, with scores that no two rows share."""
    rows: list[dict[str, Any]] = []
    for d, model, (i, layer), s, r, (metric, scale) in product(
        DATASETS, MODELS[family], enumerate(LAYERS), SUBJECTS, REGIONS, METRICS
    ):
        n = len(rows)
        rows.append(
            {
                **_common(d, family, model, s, r, metric, scale),
                "layer": layer, "layer_index": i, "depth": i / (len(LAYERS) - 1),
                "score": 0.1 + n / 1000 + (0.5 if family == "cnn" else 0.0),
                "p": 0.05, "null_mean": 0.0, "null_sd": 0.1,
                "score_chance_corrected": 0.1 + n / 1000,
                "width": 8, "n_features": 8, "effective_dimensionality": 3.0,
                "parameters": 1000, "tags": "", "weights_sha256": f"{model}-hash",
            }
        )  # fmt: skip
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


def alignment_rows(family: str, models: list[str]) -> pl.DataFrame:
    """Layers chosen: two choices of each model."""
    rows: list[dict[str, Any]] = []
    for d, model, choice, s, r, (metric, scale) in product(
        DATASETS, models, ("best", "fixed"), SUBJECTS, REGIONS, METRICS
    ):
        row = _common(d, family, model, s, r, metric, scale)
        rows.append({**row, "choice": choice, "depth": 0.5, "score": 0.2 + len(rows) / 1000})
    return pl.DataFrame(rows, schema=ALIGNMENT_SCHEMA)


def _common(
    dataset: str, family: str, model: str, subject: str, region: str, metric: str,
    scale: float | None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "study": "small", "dataset": dataset, "modality": "vision", "family": family,
        "model": model, "checkpoint": "final", "role": "trained", "step": None, "final": True,
        "subject": subject, "region": region, "hemisphere": "L", "network": "Visual",
        "axis_position": 0.1, "metric": metric, "scale": scale, "noise_ceiling": 0.5,
        "n_targets": 10,
    }  # fmt: skip


def performance_rows() -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"model": model, "checkpoint": "final", "benchmark": "top1", "score": 0.5 + i / 10}
            for i, model in enumerate(chain(*MODELS.values()))
        ]
    )


def correlation_rows(r: float = 0.6) -> pl.DataFrame:
    keys = {"dataset": "one", "modality": "vision", "benchmark": "top1", "choice": "best"}
    keys |= {"measure": "score", "scope": "all", "scope_value": "all"}
    return pl.DataFrame([{**keys, "n_models": 3, "r": r, "r_low": 0.1, "r_high": 0.9, "p": 0.03}])


def write_results(
    root: Path,
    *,
    measurements: dict[str, pl.DataFrame] | None = None,
    tables: dict[str, pl.DataFrame] | None = None,
    about: dict[str, Any] | None = None,
) -> Paths:
    """Write a study's results as the workflow leaves them."""
    paths = Paths(str(root))
    parts = measurements or {family: measurement_rows(family) for family in MODELS}
    for family, rows in parts.items():
        said = {"study": "small", "family": family, "identity": IDENTITY}
        with writing(paths.family(family), "measurements", said) as file:
            file.write(rows)
        chosen = alignment_rows(family, rows["model"].unique().sort().to_list())
        write_table(paths.family(family, "alignment"), [chosen], "alignment", said)
    Path(paths.table("x")).parent.mkdir(parents=True, exist_ok=True)
    given = {
        "performance": performance_rows(),
        "correlations": correlation_rows(),
        **(tables or {}),
    }
    for name, rows in given.items():
        rows.write_parquet(paths.table(name))
    content = {
        "study": "small", "title": "Small", "primary": "ridge_r",
        "configuration": {"study": "small", "fit": {"folds": 5}, "select": {"exclude": []}},
        "families": {
            family: rows["model"].unique().sort().to_list() for family, rows in parts.items()
        },
        "software": {"convergent": "0.1.0", "numpy": "2.2.0"},
    } | (about or {})  # fmt: skip
    Path(paths.about).write_text(json.dumps(content))
    return paths
