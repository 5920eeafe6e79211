"""Simulated data: does the workflow find what was planted?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from convergent.statistics import correlation as corr
from convergent.statistics.summaries import (
    ALIGNMENT_COLUMNS,
    TRUTH_COLUMNS,
    require_columns,
    without_nan,
)

_CHECK_SCHEMA = {
    "check": pl.String,
    "planted": pl.String,
    "recovered": pl.Float64,
    "n": pl.Int64,
    "criterion": pl.String,
    "passed": pl.Boolean,
}


@dataclass(frozen=True)
class Recovery:
    """Planted structure beside what came out.

    Attributes
    ----------
    regions : DataFrame
        One row a region: high_level, planted_ceiling, driven (planted); noise_ceiling, score
        (mean over final trained models and subjects), best_score, best_model, score_ratio
        (best_score over the square root of the planted ceiling), depth (of the layers chosen),
        control_score (of the best control or random twin) and gain (best_score minus
        control_score).
    checks : DataFrame
        check, planted, recovered, n, criterion, passed (null where nothing could be or is to be
        checked).
    """

    regions: pl.DataFrame
    checks: pl.DataFrame


def recovery(
    alignment: pl.DataFrame,
    truth: pl.DataFrame,
    performance: pl.DataFrame | None = None,
    *,
    benchmarks: Mapping[str, str] | None = None,
    choice: str = "best",
    tolerance: float = 0.02,
) -> Recovery:
    """Compare what a simulation planted with what the workflow measured.

    Parameters
    ----------
    alignment : DataFrame
        Alignment table of one simulated data set.
    truth : DataFrame
        region, high_level (planted weight of high-level features, 0 to 1), noise_ceiling
        (planted, r^2 units), driven (whether anything was planted).
    performance : DataFrame, optional
        model, checkpoint, benchmark, score; for the correlation within high- and low-level regions.
    benchmarks : dict of str to str, optional
        Benchmark of each modality.
    choice : {"best", "fixed"}
    tolerance : float, default 0.02
        Largest mean score, in r, of undriven regions and of shuffled responses.

    Returns
    -------
    Recovery

    Raises
    ------
    TableError
        If a column is missing.
    """
    require_columns(alignment, ALIGNMENT_COLUMNS, "alignment")
    require_columns(truth, TRUTH_COLUMNS, "truth")
    rows = without_nan(alignment).filter(pl.col("choice") == choice)
    if "depth" not in rows.columns:
        rows = rows.with_columns(depth=pl.lit(None, dtype=pl.Float64))
    trained = rows.filter((pl.col("role") == "trained") & pl.col("final"))
    regions = _regions(trained, rows.filter(pl.col("role") != "trained"), truth)
    checks = [
        _rank_check(
            regions, "gain", "gain of the best model over the best control or random weights"
        ),
        _rank_check(regions, "depth", "depth of the chosen layer", planted=False),
        _undriven(regions, tolerance),
        _shuffled(rows, tolerance),
        _attained(regions),
    ]
    if performance is not None and benchmarks is not None:
        checks += _performance(trained, truth, without_nan(performance), benchmarks)
    return Recovery(regions, pl.DataFrame(checks, schema=_CHECK_SCHEMA))


def _regions(trained: pl.DataFrame, others: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    planted = truth.group_by("region").agg(
        pl.col("high_level").mean(),
        planted_ceiling=pl.col("noise_ceiling").fill_nan(None).mean(),
        driven=pl.col("driven").any(),
    )
    found = trained.group_by("region").agg(
        pl.col("score", "noise_ceiling", "depth").mean(),
    )
    best = (
        trained.group_by("region", "model")
        .agg(best_score=pl.col("score").mean())
        .sort("best_score", "model", descending=[True, False], nulls_last=True)
        .group_by("region", maintain_order=True)
        .agg(pl.col("best_score").first(), best_model=pl.col("model").first())
    )
    # Best against best: a mean over controls would sink with every weak one.
    controls = (
        others.group_by("region", "model", "checkpoint")
        .agg(pl.col("score").mean())
        .group_by("region")
        .agg(control_score=pl.col("score").max())
    )
    return (
        planted.join(found, on="region", how="inner")
        .join(best, on="region", how="left")
        .join(controls, on="region", how="left")
        .with_columns(
            score_ratio=pl.when(pl.col("planted_ceiling") > 0).then(
                pl.col("best_score") / pl.col("planted_ceiling").sqrt()
            ),
            gain=pl.col("best_score") - pl.col("control_score"),
        )
        .sort("high_level", "region")
    )


def _row(
    check: str, planted: str, recovered: float, n: int, criterion: str, passed: bool | None
) -> dict[str, object]:
    known = not math.isnan(recovered)
    return {
        "check": check,
        "planted": planted,
        "recovered": recovered if known else None,
        "n": n,
        "criterion": criterion,
        "passed": passed if known else None,
    }


def _rank_check(
    regions: pl.DataFrame, column: str, what: str, *, planted: bool = True
) -> dict[str, object]:
    """Order of the regions; only looked at, not judged, where nobody planted it."""
    driven = regions.filter(pl.col("driven") & pl.col(column).is_not_null())
    rho = math.nan
    if driven.height >= 3:
        rho = corr.spearman(driven["high_level"].to_numpy(), driven[column].to_numpy())
    row = _row(
        f"Spearman rho over driven regions: planted high-level weight against {what}",
        *("positive" if planted else "not planted", rho, driven.height),
        *("rho > 0" if planted else "for comparison", rho > 0),
    )
    return row if planted else row | {"passed": None}


def _undriven(regions: pl.DataFrame, tolerance: float) -> dict[str, object]:
    silent = regions.filter(~pl.col("driven") & pl.col("score").is_not_null())
    mean = silent["score"].mean()
    value = float(mean) if isinstance(mean, (int, float)) else math.nan
    return _row(
        "mean score of regions that nothing drives",
        "0", value, silent.height, f"within {tolerance:g} of 0", abs(value) <= tolerance,
    )  # fmt: skip


def _shuffled(rows: pl.DataFrame, tolerance: float) -> dict[str, object]:
    """Responses in a random order are aligned with nothing."""
    null = rows["null_mean"].drop_nulls() if "null_mean" in rows.columns else pl.Series([])
    mean = null.mean()
    value = float(mean) if isinstance(mean, (int, float)) else math.nan
    return _row(
        "mean score of shuffled responses, all models and regions",
        *("0", value, len(null), f"within {tolerance:g} of 0", abs(value) <= tolerance),
    )


def _attained(regions: pl.DataFrame) -> dict[str, object]:
    """Nobody predicts noise: a score above what the noise allows would be a leak."""
    ratios = regions.filter(pl.col("driven"))["score_ratio"].drop_nulls()
    largest = ratios.max()
    value = float(largest) if isinstance(largest, (int, float)) else math.nan
    return _row(
        "largest score over what the noise allows, driven regions",
        *("at most 1", value, len(ratios), "at most 1.05", value <= 1.05),
    )


def _performance(
    trained: pl.DataFrame,
    truth: pl.DataFrame,
    performance: pl.DataFrame,
    benchmarks: Mapping[str, str],
) -> list[dict[str, object]]:
    """Performance against alignment in high-level and in low-level regions."""
    planted = truth.filter(pl.col("driven")).select("region", "high_level").unique("region")
    joined = trained.join(planted, on="region", how="inner").join(
        performance.select("model", "checkpoint", "benchmark", performance="score"),
        on=["model", "checkpoint"],
        how="inner",
    )
    rows = []
    for modality in sorted(set(trained["modality"].to_list())):
        mine = joined.filter(
            (pl.col("modality") == modality) & (pl.col("benchmark") == benchmarks.get(modality, ""))
        )
        high, steep = _line(mine.filter(pl.col("high_level") >= 0.5))
        low, flat = _line(mine.filter(pl.col("high_level") < 0.5))
        models = mine["model"].n_unique()
        rows += [
            _row(
                f"{modality}: performance-alignment r in high-level regions",
                *("positive", high, models, "r > 0", high > 0),
            ),
            # Averages over subjects have little noise, so that r alone can be as high where
            # alignment hardly grows; how fast it grows is what was planted.
            _row(
                f"{modality}: performance-alignment r in low-level regions",
                *("smaller slope", low, models, "for comparison", None),
            ),
            _row(
                f"{modality}: slope in high-level minus slope in low-level regions",
                *("positive", steep - flat, models, "difference > 0", steep - flat > 0),
            ),
        ]
    return rows


def _line(rows: pl.DataFrame) -> tuple[float, float]:
    """Correlation over models, and slope: alignment gained per unit of performance."""
    models = (
        rows.group_by("model", "performance")
        .agg(score=pl.col("score").mean())
        .drop_nulls()
        .sort("model")
    )
    if models.height < 3:
        return math.nan, math.nan
    x, y = models["performance"].to_numpy(), models["score"].to_numpy()
    r = corr.pearson(x, y)
    return r, math.nan if math.isnan(r) else r * float(y.std() / x.std())
