"""Do better models align better? One row for every way to ask."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from convergent.errors import TableError
from convergent.statistics import correlation as corr
from convergent.statistics.correlation import benjamini_hochberg, is_constant, pearson
from convergent.statistics.families import (
    MINIMUM_FAMILIES,
    Array,
    Families,
    Moments,
    family_correlation,
    intraclass,
)
from convergent.statistics.mixed import mixed_model
from convergent.statistics.summaries import (
    MODEL_COLUMNS,
    PERFORMANCE_COLUMNS,
    model_alignment,
    require_columns,
    without_nan,
)

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


_NUMBERS = (
    "r", "p", "q", "low", "high", "n_effective", "icc_performance", "icc_alignment",
    "rho", "r_low", "r_high", "p_exchangeable", "family_low", "family_high",
    "partial_r", "partial_r_width", "partial_r_both", "within_family_r",
    "leave_one_family_out_low", "leave_one_family_out_high",
)  # fmt: skip
_TEXT = (
    *("dataset", "modality", "benchmark", "choice", "measure", "scope", "scope_value"),
    *("p_reason", "leave_one_family_out_family", "left_out", "reason"),
)
_COUNTS = ("n_models", "n_families", "n_subjects", "n_regions", "bootstraps_used")
CORRELATION_SCHEMA: dict[str, type[pl.DataType]] = {
    **dict.fromkeys(_TEXT[:7], pl.String),
    **dict.fromkeys(_COUNTS[:4], pl.Int64),
    **dict.fromkeys(_NUMBERS, pl.Float64),
    _COUNTS[4]: pl.Int64,
    **dict.fromkeys(_TEXT[7:], pl.String),
}


def performance_alignment(
    alignment: pl.DataFrame,
    performance: pl.DataFrame,
    models: pl.DataFrame,
    *,
    benchmarks: Benchmarks,
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
        model, family, modality, parameters, source; width (features of a layer) where known.
    benchmarks : dict of str to str, or to several
        Benchmark(s) of each modality.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts.
    seed : int
        Every row draws from a stream of its own, made of the seed and the row's keys, so that
        adding a data set changes no other row.
    bootstraps, permutations : int
        Resamples of families; random orders, and draws of the null of the family test.
    scopes : sequence of str
        All regions together, each network, each subject.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, benchmark, choice, measure, scope, scope_value):

        - Pearson r with p and its interval (low, high) by `family_correlation`, and what that test
          found: n_effective, icc_performance, icc_alignment; p_reason where there is no p;
        - q, Benjamini-Hochberg of p over the networks, or the subjects, of one question;
        - Spearman rho;
        - as if models were independent: Fisher's interval (r_low, r_high), permutation p
          (p_exchangeable);
        - the interval of r when families are resampled (family_low, family_high,
          bootstraps_used);
        - r given log10 parameters (partial_r), log10 width (partial_r_width), and both;
        - r within families, and the range of r with one family left out with the family that
          changes r most;
        - n_models, n_families, n_subjects, n_regions, left_out, and the reason when r is null.

    Raises
    ------
    TableError
        If a column is missing, or a model has two final rows.
    """
    rows = []
    for pairs in paired(
        alignment,
        performance,
        models,
        benchmarks=benchmarks,
        ceiling_threshold=ceiling_threshold,
        scopes=scopes,
    ):
        for measure, column in MEASURES.items():
            row: dict[str, object] = {**pairs.keys, "measure": measure, "left_out": pairs.left_out}
            row |= {"n_subjects": pairs.n_subjects, "n_regions": pairs.n_regions}
            stream = zlib.crc32("|".join(map(str, row.values())).encode())
            row |= _correlate(pairs.frame, column, [seed, stream], bootstraps, permutations)
            rows.append(row)
    table = pl.DataFrame(rows, schema=CORRELATION_SCHEMA, strict=False)
    # the headline's benchmark stays first: rows come by benchmark in the order asked
    return _adjust(table).sort(
        "dataset",
        "modality",
        benchmark_rank(benchmarks),
        *("choice", "measure", "scope", "scope_value"),
    )


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
    reason = why_not(x, y)
    if reason:
        return result | {"reason": reason}
    family = frame["family"].to_list()
    r = corr.pearson(x, y)
    low, high = corr.fisher_interval(r, len(x))
    family_low, family_high, used = corr.family_bootstrap(
        x, y, family, bootstraps=bootstraps, seed=seed
    )
    # The null depends on families and shares alone: with the study's seed, rows share it.
    tested = family_correlation(x, y, family, draws=permutations, seed=seed[0])
    numbers = {
        "r": r,
        "p": tested.p,
        "low": tested.low,
        "high": tested.high,
        "n_effective": tested.n_effective,
        "icc_performance": tested.icc_x,
        "icc_alignment": tested.icc_y,
        "rho": corr.spearman(x, y),
        "r_low": low,
        "r_high": high,
        "p_exchangeable": corr.permutation_p(x, y, permutations=permutations, seed=[*seed, 1]),
        "family_low": family_low,
        "family_high": family_high,
        **_partials(frame, x, y),
        "within_family_r": corr.within_family(x, y, family),
    }
    found: dict[str, object] = {
        key: None if math.isnan(value) else value for key, value in numbers.items()
    }
    found |= _left_out(corr.without_each_family(x, y, family), r)
    return result | found | {"bootstraps_used": used, "p_reason": tested.reason or None}


def _partials(frame: pl.DataFrame, x: corr.Array, y: corr.Array) -> dict[str, float]:
    """R given what is known of size, over the models of which it is known."""
    size, width = log10_positive(frame["parameters"]), log10_positive(frame["width"])
    given = {
        "partial_r": size[:, None],
        "partial_r_width": width[:, None],
        "partial_r_both": np.stack([size, width], axis=1),
    }
    found = {}
    for name, columns in given.items():
        known = np.isfinite(columns).all(axis=1)
        found[name] = corr.partial_pearson(x[known], y[known], columns[known])
    return found


def _left_out(without: dict[str, float], r: float) -> dict[str, object]:
    """Range of r without each family, and the family without which it changes most."""
    finite = {name: value for name, value in without.items() if not math.isnan(value)}
    if not finite:
        return {}
    return {
        "leave_one_family_out_low": min(finite.values()),
        "leave_one_family_out_high": max(finite.values()),
        "leave_one_family_out_family": max(finite, key=lambda name: abs(finite[name] - r)),
    }


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


class Contamination(NamedTuple):
    """r with and without the tagged models.

    Attributes
    ----------
    n_tagged : int
    r, r_without : float
    difference : float
        r - r_without.
    low, high : float
        Its interval; NaN where there is none.
    p : float
        Of a difference as large from leaving out as many models of the same families.
    reason : str
        Why there is no interval; empty otherwise.
    """

    n_tagged: int
    r: float
    r_without: float
    difference: float
    low: float
    high: float
    p: float
    reason: str


def contamination_effect(
    x: ArrayLike,
    y: ArrayLike,
    family: Sequence[str],
    tagged: ArrayLike,
    *,
    draws: int,
    seed: int,
    level: float = 0.95,
) -> Contamination:
    """Compare r of all models with r without the tagged ones.

    Both r share most of their models, so that neither's interval tells whether they differ. Pairs
    are drawn (parametric bootstrap) from two normal variables with the r and the shares between
    families of all models, as if tags meant nothing. Statistic: the difference
    of the two atanh r; the interval is that -+ the null's quantile of its absolute value, with
    r_without taken as it is.

    Parameters
    ----------
    x, y : array_like, shape (model,)
    family : sequence of str, length model
    tagged : array_like of bool, shape (model,)
    draws : int
    seed : int
    level : float, default 0.95

    Returns
    -------
    Contamination
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    out = np.asarray(tagged, dtype=bool)
    labels = np.asarray(family, dtype=str)
    kept = ~out
    nothing = (math.nan,) * 3
    r, without = pearson(a, b), pearson(a[kept], b[kept])
    count, difference = int(out.sum()), r - without
    reason = _why_not(a, b, labels, kept)
    if reason:
        return Contamination(count, r, without, difference, *nothing, reason)
    families = Families.of(labels)
    moments = Moments.of(a, b, families)
    icc_x = float(intraclass(moments.mean_x, moments.within_xx, families)[0])
    icc_y = float(intraclass(moments.mean_y, moments.within_yy, families)[0])
    rng = np.random.default_rng([seed, a.size, count])
    null = np.sort(np.abs(_differences(families, kept, (icc_x, icc_y, r), draws, rng)))
    rank = min(math.ceil(level * (draws + 1)), draws) - 1
    half = float(null[rank])
    z, base = _atanh(r), _atanh(without)
    p = (int(np.sum(null >= abs(z - base) - 1e-9)) + 1) / (draws + 1)
    low, high = (math.tanh(end) - without for end in (z - half, z + half))
    return Contamination(count, r, without, difference, low, high, p, "")


def _atanh(r: float) -> float:
    return math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r)))


def _why_not(a: Array, b: Array, labels: NDArray[np.str_], kept: NDArray[np.bool_]) -> str:
    if kept.all():
        return "no model is tagged"
    if int(kept.sum()) < 4 or is_constant(a[kept]) or is_constant(b[kept]):
        return f"{int(kept.sum())} model(s) are left without the tagged ones"
    found = np.unique(labels[kept]).size
    if found < MINIMUM_FAMILIES:
        return f"{found} families are left; an interval needs at least {MINIMUM_FAMILIES}"
    return ""


def _differences(
    families: Families,
    kept: NDArray[np.bool_],
    truth: tuple[float, float, float],
    draws: int,
    rng: np.random.Generator,
) -> Array:
    icc_x, icc_y, r = truth
    # what the shares leave possible: with unlike shares the two cannot correlate as closely
    reach = math.sqrt(icc_x * icc_y) + math.sqrt((1 - icc_x) * (1 - icc_y))
    inner = float(np.clip(r / reach, -0.999, 0.999))
    count = families.size.size
    between = rng.standard_normal((2, draws, count))
    own = rng.standard_normal((2, draws, families.models))
    rest = math.sqrt(1 - inner**2)
    between[1] = inner * between[0] + rest * between[1]
    own[1] = inner * own[0] + rest * own[1]
    x, y = (
        math.sqrt(icc) * between[i][:, families.member] + math.sqrt(1 - icc) * own[i]
        for i, icc in enumerate((icc_x, icc_y))
    )
    return np.asarray(
        np.arctanh(_pearson_rows(x, y)) - np.arctanh(_pearson_rows(x[:, kept], y[:, kept]))
    )


def _pearson_rows(x: Array, y: Array) -> Array:
    a, b = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    r = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.clip(r, -1 + 1e-12, 1 - 1e-12))


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
