"""Mixed models, and the effect of tagged models, for every headline question."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from ._mixed import mixed_model
from ._performance_contamination import contamination_effect
from ._performance_pairs import Benchmarks, Pairs, benchmark_rank, log10_positive, paired, why_not

_KEYS = ("dataset", "modality", "benchmark", "choice")
MIXED_SCHEMA: dict[str, type[pl.DataType]] = {
    **dict.fromkeys((*_KEYS, "model", "term"), pl.String),
    **dict.fromkeys(("n_models", "n_families"), pl.Int64),
    **dict.fromkeys(
        ("estimate", "standard_error", "low", "high", "p", "standardised", "icc"), pl.Float64
    ),
    **dict.fromkeys(("solver", "reason"), pl.String),
}
CONTAMINATION_SCHEMA: dict[str, type[pl.DataType]] = {
    **dict.fromkeys((*_KEYS, "tagged"), pl.String),
    **dict.fromkeys(("n_models", "n_tagged"), pl.Int64),
    **dict.fromkeys(("r", "r_without", "difference", "low", "high", "p"), pl.Float64),
    "reason": pl.String,
}
# Models trained on the images or captions of COCO, and those of which nobody can know.
TAGS = {"coco": ("coco",), "coco or unknown": ("coco", "coco-unknown")}
_MODELS = {
    "alignment ~ performance": (),
    "alignment ~ performance + log10(parameters)": ("log10(parameters)",),
    "alignment ~ performance + log10(parameters) + log10(width)": (
        "log10(parameters)",
        "log10(width)",
    ),
}


def mixed_table(
    alignment: pl.DataFrame,
    performance: pl.DataFrame,
    models: pl.DataFrame,
    *,
    benchmarks: Benchmarks,
    ceiling_threshold: float,
    seed: int,
    draws: int,
) -> pl.DataFrame:
    """Fit `mixed_model` over all regions: performance alone, given size, given size and width.

    Parameters
    ----------
    alignment, performance, models, benchmarks, ceiling_threshold, seed
        See `performance_alignment`.
    draws : int
        Draws of each effect's null.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, benchmark, choice, model, term): estimate (of mean r per
        unit of the term), standard_error, its interval (low, high), p, standardised, icc of
        what is left, solver, n_models, n_families. Models without known size or width are left
        out of the models that need it. One row with the reason where there is no fit.
    """
    rows: list[dict[str, object]] = []
    for pairs in paired(
        alignment,
        performance,
        models,
        benchmarks=benchmarks,
        ceiling_threshold=ceiling_threshold,
        scopes=("all",),
    ):
        frame = pairs.frame.filter(pl.col("alignment").is_not_null())
        for model, given in _MODELS.items():
            rows += _mixed_rows(_named(pairs), model + " + (1 | family)", frame, given, seed, draws)
    table = pl.DataFrame(rows, schema=MIXED_SCHEMA, strict=False)
    return table.sort(*_order(benchmarks), maintain_order=True)


def contamination_table(
    alignment: pl.DataFrame,
    performance: pl.DataFrame,
    models: pl.DataFrame,
    *,
    benchmarks: Benchmarks,
    ceiling_threshold: float,
    seed: int,
    draws: int,
) -> pl.DataFrame:
    """Correlate with and without the models tagged as trained on the stimuli's images (COCO).

    Parameters
    ----------
    alignment, performance, models, benchmarks, ceiling_threshold, seed
        See `performance_alignment`; models need ``tags``.
    draws : int
        Draws of the null of the difference.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, benchmark, choice, tagged), ``tagged`` being ``coco`` or
        ``coco or unknown``: n_models, n_tagged, r, r_without, difference with its interval and
        p by `contamination_effect`, and the reason where there is none.
    """
    rows: list[dict[str, object]] = []
    for pairs in paired(
        alignment,
        performance,
        models,
        benchmarks=benchmarks,
        ceiling_threshold=ceiling_threshold,
        scopes=("all",),
    ):
        frame = pairs.frame.filter(pl.col("alignment").is_not_null())
        for tagged, tags in TAGS.items():
            rows.append(
                {**_named(pairs), "tagged": tagged, **_contamination(frame, tags, seed, draws)}
            )
    table = pl.DataFrame(rows, schema=CONTAMINATION_SCHEMA, strict=False)
    return table.sort(*_order(benchmarks), "tagged", maintain_order=True)


def _order(benchmarks: Benchmarks) -> list[str | pl.Expr]:
    return ["dataset", "modality", benchmark_rank(benchmarks), "choice"]


def _named(pairs: Pairs) -> dict[str, object]:
    return {name: pairs.keys[name] for name in _KEYS}


def _mixed_rows(
    keys: dict[str, object],
    model: str,
    frame: pl.DataFrame,
    given: tuple[str, ...],
    seed: int,
    draws: int,
) -> list[dict[str, object]]:
    columns = {
        "performance": frame["performance"].cast(pl.Float64).to_numpy(),
        "log10(parameters)": log10_positive(frame["parameters"]),
        "log10(width)": log10_positive(frame["width"]),
    }
    used = {name: columns[name] for name in ("performance", *given)}
    known = np.isfinite(np.stack(list(used.values()))).all(axis=0)
    y = frame["alignment"].cast(pl.Float64).to_numpy()[known]
    family = frame["family"].to_numpy()[known].tolist()
    effects = {name: values[known] for name, values in used.items()}
    common = {**keys, "model": model, "n_models": len(y), "n_families": len(set(family))}
    reason = why_not(effects["performance"], y)
    if reason:
        return [{**common, "reason": reason}]
    fit = mixed_model(y, effects, family, draws=draws, seed=seed)
    if not fit.effects:
        return [{**common, "reason": fit.reason}]
    return [
        {**common, **effect._asdict(), "icc": fit.icc, "solver": fit.solver}
        for effect in fit.effects
    ]


def _contamination(
    frame: pl.DataFrame, tags: tuple[str, ...], seed: int, draws: int
) -> dict[str, object]:
    x = frame["performance"].cast(pl.Float64).to_numpy()
    y = frame["alignment"].cast(pl.Float64).to_numpy()
    marked = [bool(set((text or "").split()) & set(tags)) for text in frame["tags"].to_list()]
    reason = why_not(x, y)
    if reason:
        return {"n_models": len(x), "n_tagged": sum(marked), "reason": reason}
    found = contamination_effect(x, y, frame["family"].to_list(), marked, draws=draws, seed=seed)
    numbers = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in found._asdict().items()
    }
    return {"n_models": len(x), **numbers, "reason": found.reason or None}
