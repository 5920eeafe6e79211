"""Do better models align better? One row for every way to ask."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from convergent.errors import TableError

from . import _correlation as corr
from ._aggregate import model_alignment
from ._multiplicity import benjamini_hochberg
from ._tables import MODEL_COLUMNS, PERFORMANCE_COLUMNS, require_columns, without_nan

_MEASURES = {"score": "alignment", "score_normalised": "alignment_normalised"}
_NUMBERS = (
    "r", "r_low", "r_high", "rho", "family_low", "family_high", "p", "q",
    "partial_r", "within_family_r", "leave_one_family_out_low", "leave_one_family_out_high",
)  # fmt: skip
CORRELATION_SCHEMA: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(
        ("dataset", "modality", "benchmark", "choice", "measure", "scope", "scope_value"), pl.String
    ),
    **dict.fromkeys(("n_models", "n_families", "n_subjects", "n_regions"), pl.Int64),
    **dict.fromkeys(_NUMBERS, pl.Float64),
    "bootstraps_used": pl.Int64,
    "left_out": pl.String,
    "reason": pl.String,
}


def performance_alignment(
    alignment: pl.DataFrame,
    performance: pl.DataFrame,
    models: pl.DataFrame,
    *,
    benchmarks: Mapping[str, str | Sequence[str]],
    ceiling_threshold: float,
    seed: int,
    bootstraps: int,
    permutations: int,
    scopes: Sequence[str] = ("all", "network", "subject"),
) -> pl.DataFrame:
    """Correlate performance and brain alignment over models.

    Only final, trained checkpoints count; controls and random twins never enter. A model
    counts only with the same subject-region cells as the most complete one, because a mean over
    fewer cells is another quantity; who is left out is named, with the reason.

    Parameters
    ----------
    alignment : DataFrame
        One row per (dataset, model, checkpoint, subject, region, choice).
    performance : DataFrame
        model, checkpoint, benchmark, score.
    models : DataFrame
        model, family, modality, parameters, source.
    benchmarks : dict of str to str, or to several
        Benchmark(s) of each modality.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts.
    seed : int
        Every row draws from a stream of its own, made of the seed and the row's keys, so that
        adding a data set changes no other row.
    bootstraps, permutations : int
        Resamples of families; random orders.
    scopes : sequence of str
        All regions together, each network, each subject.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, benchmark, choice, measure, scope, scope_value):
        n_models, n_families, n_subjects, n_regions, Pearson r with its Fisher interval (r_low,
        r_high), Spearman rho, family-bootstrap interval (family_low, family_high,
        bootstraps_used), permutation p, q (Benjamini-Hochberg over the networks, or over the
        subjects, of one question), partial_r given log10 parameters, within_family_r, the range
        of r with one family left out, left_out, and the reason when r is null.

    Raises
    ------
    TableError
        If a column is missing, or a model has two final rows.
    """
    require_columns(performance, PERFORMANCE_COLUMNS, "performance")
    require_columns(models, MODEL_COLUMNS, "models")
    averaged = model_alignment(alignment, ceiling_threshold=ceiling_threshold)
    averaged = averaged.filter(pl.col("scope").is_in(list(scopes)))
    final = averaged.filter((pl.col("role") == "trained") & pl.col("final"))
    scores = without_nan(performance)
    rows = []
    keys = ["dataset", "modality", "choice", "scope", "scope_value"]
    for (dataset, modality, choice, scope, value), group in averaged.group_by(
        keys, maintain_order=True
    ):
        mine = final.filter(
            pl.all_horizontal(
                pl.col(k) == v
                for k, v in zip(keys, (dataset, modality, choice, scope, value), strict=True)
            )
        )
        known = models.filter(pl.col("modality") == modality)
        for benchmark in _as_tuple(benchmarks.get(str(modality), ())):
            frame, left_out = _pair(mine, scores, known, benchmark, str(dataset))
            for measure, column in _MEASURES.items():
                row = dict(zip(keys, (dataset, modality, choice, scope, value), strict=True))
                row |= {"benchmark": benchmark, "measure": measure, "left_out": left_out}
                row |= {"n_subjects": group["n_subjects"].max()}
                row |= {"n_regions": group["n_regions"].max()}
                stream = zlib.crc32("|".join(map(str, row.values())).encode())
                row |= _correlate(frame, column, [seed, stream], bootstraps, permutations)
                rows.append(row)
    table = pl.DataFrame(rows, schema=CORRELATION_SCHEMA, strict=False)
    return _adjust(table).sort(
        "dataset", "modality", "benchmark", "choice", "measure", "scope", "scope_value"
    )


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
        models.select("model", "parameters"), on="model", how="left"
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
    reasons = {}
    for row in models.iter_rows(named=True):
        if row["source"] == "baseline":
            reasons[row["model"]] = "control without weights"
        elif row["model"] not in joined["model"]:
            reasons[row["model"]] = "no alignment of a final trained checkpoint"
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


def _correlate(
    frame: pl.DataFrame, column: str, seed: list[int], bootstraps: int, permutations: int
) -> dict[str, object]:
    frame = frame.filter(pl.col(column).is_not_null())
    result: dict[str, object] = {
        "n_models": frame.height,
        "n_families": frame["family"].n_unique(),
    }
    x = frame["performance"].cast(pl.Float64).to_numpy()
    y = frame[column].cast(pl.Float64).to_numpy()
    reason = _why_not(x, y)
    if reason:
        return result | {"reason": reason}
    family = frame["family"].to_list()
    r = corr.pearson(x, y)
    low, high = corr.fisher_interval(r, len(x))
    family_low, family_high, used = corr.family_bootstrap(
        x, y, family, bootstraps=bootstraps, seed=seed
    )
    out_low, out_high = corr.leave_one_family_out(x, y, family)
    numbers = {
        "r": r,
        "r_low": low,
        "r_high": high,
        "rho": corr.spearman(x, y),
        "family_low": family_low,
        "family_high": family_high,
        "p": corr.permutation_p(x, y, permutations=permutations, seed=[*seed, 1]),
        "partial_r": _partial(frame, x, y),
        "within_family_r": corr.within_family(x, y, family),
        "leave_one_family_out_low": out_low,
        "leave_one_family_out_high": out_high,
    }
    finite = {key: None if math.isnan(value) else value for key, value in numbers.items()}
    return result | finite | {"bootstraps_used": used}


def _why_not(x: corr.Array, y: corr.Array) -> str:
    if len(x) < 3:
        return f"{len(x)} model(s) with both numbers; at least 3 are needed"
    if corr.is_constant(x):
        return "performance is the same for every model"
    if corr.is_constant(y):
        return "alignment is the same for every model"
    return ""


def _partial(frame: pl.DataFrame, x: corr.Array, y: corr.Array) -> float:
    parameters = frame["parameters"].cast(pl.Float64).fill_null(0.0).to_numpy()
    known = parameters > 0
    if int(known.sum()) < 4:
        return math.nan
    return corr.partial_pearson(x[known], y[known], np.log10(parameters[known]))


def _adjust(table: pl.DataFrame) -> pl.DataFrame:
    """Add q: Benjamini-Hochberg within one question over its networks or its subjects."""
    groups = ["dataset", "modality", "benchmark", "choice", "measure", "scope"]
    parts = [
        part.with_columns(
            q=pl.Series("q", benjamini_hochberg(part["p"].fill_null(math.nan).to_numpy()))
        )
        for _, part in table.group_by(groups, maintain_order=True)
    ]
    return without_nan(pl.concat(parts)) if parts else table
