"""Onsets and lags of every training run of a study, as tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from ._aggregate import model_alignment
from ._lead import Lead, leads
from ._lead_curves import RESAMPLED_COLUMNS, Run, Subjects, alignment_curve, pairs_of, runs_of
from ._lead_naive import cross_correlation_lag, granger
from ._lead_pair import Pair
from ._onset import SHARES, Curve
from ._onset_measures import kind, rises
from ._tables import require_columns

ONSET_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("dataset", "modality", "choice", "model", "seed"), pl.String),
    **dict.fromkeys(("measure", "kind"), pl.String),
    "share": pl.Float64,
    **dict.fromkeys(("position", "step"), pl.Float64),
    **dict.fromkeys(("before", "after"), pl.Int64),
    **dict.fromkeys(("first", "last", "scatter"), pl.Float64),
    "n_checkpoints": pl.Int64,
    "reason": pl.String,
}  # fmt: skip
LEAD_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("dataset", "modality", "choice", "benchmark", "kind", "model"), pl.String),
    "share": pl.Float64,
    **dict.fromkeys(("n_models", "n_runs", "n_unclear", "n_subjects", "n_checkpoints"), pl.Int64),
    "resamples": pl.Int64,
    **dict.fromkeys(("lag", "low", "high", "null_mean", "null_low", "null_high", "p"), pl.Float64),
    **dict.fromkeys(("resolved", "granger_p", "cross_lag"), pl.Float64),
    **dict.fromkeys(("verdict", "reason"), pl.String),
}
LEVEL = 0.05
# Rows of `leads` that are of all models together.
EVERY_MODEL = "all"
_WHY = {
    "thresholded": "a share of right answers moves once items cross a threshold: it trails even "
    "where nothing leads",
    "exponential": "a perplexity loses nearly all of its range in the first steps, whatever leads",
}


def training_onsets(
    table: pl.DataFrame, alignment: pl.DataFrame, *, ceiling_threshold: float
) -> pl.DataFrame:
    """Onset of every measure of every run, over all of its own checkpoints.

    Parameters
    ----------
    table : DataFrame
        From `trajectories`.
    alignment : DataFrame
        Alignment table.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts.

    Returns
    -------
    DataFrame
        One row a (dataset, choice, model, seed, measure, share): ``position`` on the axis of
        ``trajectories`` and ``step`` (10 to that power), the checkpoints ``before`` and ``after``,
        ``first`` and ``last`` level of the monotone fit, ``scatter``, and the reason where no onset
        is defined. Alignment is the measure ``alignment``.
    """
    rows: list[dict[str, Any]] = []
    for (dataset, choice), part in table.group_by(["dataset", "choice"], maintain_order=True):
        steps = dict(part.select("position", "step").unique().iter_rows())
        subjects = _subjects(part, alignment, None, str(dataset), ceiling_threshold, 0)
        one = part.unique(["model", "checkpoint"], maintain_order=True)
        curves = [
            ("alignment", 1.0, run, alignment_curve(mine, subjects, str(choice)))
            for run, mine in runs_of(one)
        ]
        for (benchmark,), scored in part.group_by(["benchmark"], maintain_order=True):
            sign = 1.0 if rises(str(benchmark)) else -1.0
            curves += [
                (str(benchmark), sign, run, pair.performance)
                for run, pair in pairs_of(scored, subjects)
                if pair.performance.value.size
            ]
        for measure, sign, run, curve in curves:
            common = {
                "dataset": dataset, "modality": part["modality"][0], "choice": choice,
                "model": run.model, "seed": run.seed, "measure": measure,
                "kind": "alignment" if measure == "alignment" else kind(measure),
            }  # fmt: skip
            rows += [common | facts for facts in onset_rows(curve, steps, sign)]
    return pl.DataFrame(rows, schema=ONSET_SCHEMA)


def onset_rows(curve: Curve, steps: dict[float, int], sign: float) -> Iterator[dict[str, Any]]:
    """Describe the onsets of one curve; ``steps`` are those of its places."""
    for share in SHARES:
        onset = curve.onset(share)
        defined = not onset.reason
        yield {
            "share": share,
            "position": onset.position if defined else None,
            "step": 10**onset.position if defined else None,
            "before": steps[onset.before] if defined else None,
            "after": steps[onset.after] if defined else None,
            "first": sign * float(curve.fit[0]) if curve.value.size else None,
            "last": sign * float(curve.fit[-1]) if curve.value.size else None,
            "scatter": None if math.isnan(curve.scatter) else curve.scatter,
            "n_checkpoints": curve.value.size,
            "reason": onset.reason,
        }


def training_leads(
    table: pl.DataFrame,
    alignment: pl.DataFrame,
    resampled: pl.DataFrame | None = None,
    *,
    ceiling_threshold: float,
    seed: int,
    draws: int,
) -> pl.DataFrame:
    """Lag of performance behind alignment: all models of a data set together, and each.

    Parameters
    ----------
    table : DataFrame
        From `trajectories`.
    alignment : DataFrame
        Alignment table; its subjects are resampled.
    resampled : DataFrame, optional
        dataset, model, checkpoint, subject, choice, resample, alignment: alignment over resampled
        stimuli.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts.
    seed : int
    draws : int
        Simulations of a pair of curves.

    Returns
    -------
    DataFrame
        One row a (dataset, choice, benchmark, model or ``all``, share). ``lag`` in decades of
        steps, positive where alignment comes first; ``verdict`` is ``alignment first``,
        ``performance first``, ``open``, ``resolution`` or ``undefined``, with the reason.
        ``granger_p`` and ``cross_lag`` (checkpoints) are of single runs and mislead: see
        `granger`.
    """
    rows: list[dict[str, Any]] = []
    for (dataset,), of_dataset in table.group_by(["dataset"], maintain_order=True):
        subjects = _subjects(
            of_dataset, alignment, resampled, str(dataset), ceiling_threshold, seed
        )
        keys = ["choice", "benchmark"]
        for (choice, benchmark), part in of_dataset.group_by(keys, maintain_order=True):
            pairs = [
                (run, pair)
                for run, pair in pairs_of(part, subjects)
                if pair.performance.value.size and pair.alignment.value.size
            ]
            common = {
                "dataset": dataset, "modality": part["modality"][0], "choice": choice,
                "benchmark": benchmark, "kind": kind(str(benchmark)),
                "n_subjects": len(subjects.names), "resamples": subjects.resamples,
            }  # fmt: skip
            models = list(dict.fromkeys(run.model for run, _ in pairs))
            groups = [(EVERY_MODEL, pairs)] if pairs else []
            groups += [(name, [p for p in pairs if p[0].model == name]) for name in models]
            for name, members in groups:
                rows += _rows({**common, "model": name}, members, seed, draws)
    return pl.DataFrame(rows, schema=LEAD_SCHEMA)


def _rows(
    common: dict[str, Any], members: Sequence[tuple[Run, Pair]], seed: int, draws: int
) -> Iterator[dict[str, Any]]:
    pairs = [pair for _, pair in members]
    unclear = [pair.unclear for pair in pairs if pair.unclear]
    counts = {
        "n_models": len({run.model for run, pair in members if not pair.unclear}),
        "n_runs": len(pairs) - len(unclear),
        "n_unclear": len(unclear),
        "n_checkpoints": min(
            min(pair.alignment.value.size, pair.performance.value.size) for pair in pairs
        ),
    }
    single = _secondary(pairs[0]) if common["model"] != EVERY_MODEL and len(pairs) == 1 else {}
    for lead in leads(pairs, draws=draws, seed=seed):
        verdict, reason = judge(lead, str(common["kind"]), unclear[0] if unclear else "")
        names = ("share", "lag", "low", "high", "null_mean", "null_low", "null_high", "p")
        numbers = {name: getattr(lead, name) for name in (*names, "resolved")}
        known = {name: None if math.isnan(value) else value for name, value in numbers.items()}
        yield {**common, **counts, **single, **known, "verdict": verdict, "reason": reason}


def judge(lead: Lead, measure: str, unclear: str) -> tuple[str, str]:
    """Say which comes first, as far as the test, the interval and the checkpoints allow."""
    if math.isnan(lead.lag):
        return "undefined", unclear
    if measure != "continuous":
        return "open", _WHY[measure]
    if lead.resolved < 0.5:
        return "resolution", "onsets fall between the same checkpoints"
    outside = lead.low > 0 or lead.high < 0
    if lead.p < LEVEL and outside:
        return ("alignment first" if lead.lag > 0 else "performance first"), ""
    if lead.p < LEVEL:
        return "open", "the interval of the lag includes 0"
    return "open", "no lag beyond what curves that move together show"


def _secondary(pair: Pair) -> dict[str, Any]:
    """Granger and cross-correlation at the checkpoints that both have."""
    shared = np.intersect1d(pair.alignment.position, pair.performance.position)
    a = pair.alignment.value[np.isin(pair.alignment.position, shared)]
    p = pair.performance.value[np.isin(pair.performance.position, shared)]
    found = granger(a, p)
    return {
        "granger_p": None if math.isnan(found) else found,
        "cross_lag": float(cross_correlation_lag(a, p)),
    }


def _subjects(
    table: pl.DataFrame,
    alignment: pl.DataFrame,
    resampled: pl.DataFrame | None,
    dataset: str,
    threshold: float,
    seed: int,
) -> Subjects:
    used = table.select("model", "checkpoint").unique()
    mine = alignment.filter(pl.col("dataset") == dataset).join(
        used, on=["model", "checkpoint"], how="semi"
    )
    each = model_alignment(mine, ceiling_threshold=threshold).filter(pl.col("scope") == "subject")
    subjects = each.select("model", "checkpoint", "choice", "alignment", subject="scope_value")
    empty = subjects.clear().with_columns(resample=pl.lit(0, dtype=pl.Int64))
    if resampled is None:
        return Subjects(subjects, empty, seed)
    require_columns(resampled, RESAMPLED_COLUMNS, "resampled")
    rows = resampled.filter(pl.col("dataset") == dataset).join(
        used, on=["model", "checkpoint"], how="semi"
    )
    return Subjects(subjects, rows.select(*empty.columns) if len(rows) else empty, seed)
