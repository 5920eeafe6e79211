"""Performance and alignment over the course of training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from convergent.statistics.leads import (
    RESAMPLED_COLUMNS,
    Lead,
    Pair,
    Run,
    Subjects,
    alignment_curve,
    cross_correlation_lag,
    granger,
    leads,
    pairs_of,
    runs_of,
)
from convergent.statistics.onsets import SHARES, Curve, kind, rises
from convergent.statistics.summaries import (
    PERFORMANCE_COLUMNS,
    model_alignment,
    require_columns,
    without_nan,
)

_COLUMNS = (
    *("dataset", "modality", "family", "model", "checkpoint", "role", "step", "position"),
    *("choice", "benchmark", "performance"),
    *("alignment", "alignment_normalised", "n_subjects"),
)


def step_positions(steps: Iterable[int]) -> dict[int, float]:
    """Places of training steps on a logarithmic axis that also has room for step 0.

    Parameters
    ----------
    steps : iterable of int
        Training steps, 0 included or not.

    Returns
    -------
    dict of int to float
        log10(step) for positive steps; step 0 stands half a decade left of the smallest.
    """
    known = sorted(set(steps))
    positive = [step for step in known if step > 0]
    zero = (math.log10(positive[0]) if positive else 0.5) - 0.5
    return {step: math.log10(step) if step > 0 else zero for step in known}


def trajectories(
    alignment: pl.DataFrame,
    performance: pl.DataFrame,
    *,
    benchmarks: Mapping[str, str | Sequence[str]],
    ceiling_threshold: float,
) -> pl.DataFrame:
    """Line up performance and alignment of every checkpoint that has a training step.

    Nothing is rescaled, smoothed or tested: the table shows what was measured. Which of the two
    moves first cannot be read off two curves with different noise; see `training_leads`.
    Continuous measures (losses, bits a byte) stand beside the benchmarks wherever there are any.

    Parameters
    ----------
    alignment : DataFrame
        Alignment table.
    performance : DataFrame
        model, checkpoint, benchmark, score.
    benchmarks : dict of str to str, or to several
        Benchmark(s) of each modality.
    ceiling_threshold : float
        Smallest noise ceiling (r^2 units) of a region that counts.

    Returns
    -------
    DataFrame
        dataset, modality, family, model, checkpoint, role, step, position (place on the log
        axis, step 0 shown), choice, benchmark, performance (null where none was measured),
        alignment, alignment_normalised, n_subjects; models with at least two distinct steps.

    Raises
    ------
    TableError
        If a column is missing.
    """
    require_columns(performance, PERFORMANCE_COLUMNS, "performance")
    averaged = model_alignment(alignment, ceiling_threshold=ceiling_threshold).filter(
        (pl.col("scope") == "all") & pl.col("step").is_not_null() & (pl.col("role") != "control")
    )
    several = pl.col("step").n_unique().over("dataset", "model", "choice") > 1
    averaged = averaged.filter(several)
    pairs = [
        (modality, name)
        for modality, names in benchmarks.items()
        for name in ((names,) if isinstance(names, str) else names)
    ]
    wanted = pl.DataFrame(
        pairs, schema={"modality": pl.String, "benchmark": pl.String}, orient="row"
    )
    positions = step_positions(averaged["step"].to_list())
    scores = without_nan(performance).select(
        "model", "checkpoint", "benchmark", performance="score"
    )
    asked = averaged.join(wanted, on="modality", how="inner").join(
        scores, on=["model", "checkpoint", "benchmark"], how="left"
    )
    names = scores["benchmark"].unique().to_list()
    beside = scores.filter(
        pl.col("benchmark").is_in([name for name in names if kind(name) == "continuous"])
    )
    beside = (
        averaged.join(beside, on=["model", "checkpoint"], how="inner")
        .join(wanted, on=["modality", "benchmark"], how="anti")
        .select(asked.columns)
    )
    return (
        pl.concat([asked, beside])
        .with_columns(
            position=pl.col("step").replace_strict(
                list(positions), list(positions.values()), return_dtype=pl.Float64
            )
        )
        .select(_COLUMNS)
        .sort("dataset", "model", "choice", "benchmark", "step", "checkpoint")
    )


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
