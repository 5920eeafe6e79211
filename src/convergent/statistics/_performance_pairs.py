"""Which models have both a performance and an alignment, and who is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from convergent.errors import TableError

from ._aggregate import model_alignment
from ._correlation import Array, is_constant
from ._tables import MODEL_COLUMNS, PERFORMANCE_COLUMNS, require_columns, without_nan

KEYS = ("dataset", "modality", "choice", "scope", "scope_value")
MEASURES = {"score": "alignment", "score_normalised": "alignment_normalised"}
Benchmarks = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Pairs:
    """The models of one question.

    Attributes
    ----------
    keys : dict of str to str
        dataset, modality, choice, scope, scope_value, benchmark.
    frame : DataFrame
        One row a model: model, family, performance, alignment, alignment_normalised, parameters,
        width, tags.
    left_out : str
        Who is not there, and why.
    n_subjects, n_regions : int
    """

    keys: dict[str, str]
    frame: pl.DataFrame
    left_out: str
    n_subjects: int
    n_regions: int


def paired(
    alignment: pl.DataFrame,
    performance: pl.DataFrame,
    models: pl.DataFrame,
    *,
    benchmarks: Benchmarks,
    ceiling_threshold: float,
    scopes: Sequence[str],
) -> Iterator[Pairs]:
    """Join performance to alignment for every data set, benchmark, choice of layers and scope.

    Only final, trained checkpoints count; controls and random twins never enter. A model
    counts only with the same subject-region cells as the most complete one, because a mean over
    fewer cells is another quantity.

    Raises
    ------
    TableError
        If a column is missing, or a model has two final rows.
    """
    require_columns(performance, PERFORMANCE_COLUMNS, "performance")
    require_columns(models, MODEL_COLUMNS, "models")
    averaged = model_alignment(alignment, ceiling_threshold=ceiling_threshold, scopes=scopes)
    scores = without_nan(performance)
    absent = [name for name in ("width", "tags") if name not in models.columns]
    facts = models.with_columns(
        pl.lit(None, dtype=pl.Float64 if name == "width" else pl.String).alias(name)
        for name in absent
    )
    for found, group in averaged.group_by(KEYS, maintain_order=True):
        keys = {name: str(value) for name, value in zip(KEYS, found, strict=True)}
        mine = group.filter((pl.col("role") == "trained") & pl.col("final"))
        known = facts.filter(pl.col("modality") == keys["modality"])
        counts = [int(group[name].max() or 0) for name in ("n_subjects", "n_regions")]  # type: ignore[arg-type]
        for benchmark in _as_tuple(benchmarks.get(keys["modality"], ())):
            frame, left_out = _pair(mine, scores, known, benchmark, keys["dataset"])
            yield Pairs({**keys, "benchmark": benchmark}, frame, left_out, *counts)


def why_not(x: Array, y: Array) -> str:
    """Say why x and y have no correlation; empty where they have one."""
    if len(x) < 3:
        return f"{len(x)} model(s) with both numbers; at least 3 are needed"
    if is_constant(x):
        return "performance is the same for every model"
    if is_constant(y):
        return "alignment is the same for every model"
    return ""


def benchmark_rank(benchmarks: Benchmarks) -> pl.Expr:
    """Place of each row's benchmark among those of its modality, to sort by."""
    order = dict.fromkeys(name for names in benchmarks.values() for name in _as_tuple(names))
    ranks = {name: rank for rank, name in enumerate(order)}
    return pl.col("benchmark").replace_strict(ranks, default=len(ranks), return_dtype=pl.Int64)


def log10_positive(values: pl.Series) -> Array:
    """Log10 of a column, NaN where it is not known (null or 0), (model,)."""
    numbers = values.cast(pl.Float64).fill_null(0.0).to_numpy()
    return np.asarray(np.where(numbers > 0, np.log10(np.maximum(numbers, 1e-300)), np.nan))


def _as_tuple(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _pair(
    aligned: pl.DataFrame, scores: pl.DataFrame, models: pl.DataFrame, benchmark: str, dataset: str
) -> tuple[pl.DataFrame, str]:
    """Join performance to alignment by model and checkpoint; say who is left out and why."""
    chosen = scores.filter(pl.col("benchmark") == benchmark).select(
        "model", "checkpoint", performance="score"
    )
    joined = aligned.join(chosen, on=["model", "checkpoint"], how="left").join(
        models.select("model", "parameters", "width", "tags"), on="model", how="left"
    )
    twice = joined.filter(pl.col("model").is_duplicated())["model"].unique().sort()
    if len(twice):
        raise TableError(
            f"model '{twice[0]}' has more than one final score",
            where=f"benchmark '{benchmark}', data set '{dataset}'",
            fix="mark one checkpoint as final and give each benchmark one score a checkpoint",
        )
    complete = pl.col("cells") == pl.col("expected_cells")
    has_score = pl.col("performance").is_not_null()
    reasons, there = {}, set(joined["model"])
    for name, source in models.select("model", "source").iter_rows():
        if source == "baseline":
            reasons[name] = "control without weights"
        elif name not in there:
            reasons[name] = "no alignment of a final trained checkpoint"
    for row in joined.filter(~complete | ~has_score).iter_rows(named=True):
        if row["performance"] is None:
            reasons[row["model"]] = f"no {benchmark} score"
        else:
            reasons[row["model"]] = (
                f"only {row['cells']} of {row['expected_cells']} subject-region scores"
            )
    text = "; ".join(f"{name}: {why}" for name, why in sorted(reasons.items()))
    controls = [name for name, why in reasons.items() if why == "control without weights"]
    kept = joined.filter(complete & has_score & ~pl.col("model").is_in(controls))
    return kept.sort("model"), text
