"""Do better models align better? One row for every way to ask."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
import polars as pl

from . import _correlation as corr
from ._family_test import family_correlation
from ._multiplicity import benjamini_hochberg
from ._performance_pairs import (
    MEASURES,
    Benchmarks,
    benchmark_rank,
    log10_positive,
    paired,
    why_not,
)
from ._tables import without_nan

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
