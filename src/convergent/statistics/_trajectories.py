"""Performance and alignment over the course of training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from ._aggregate import model_alignment
from ._onset_measures import kind
from ._tables import PERFORMANCE_COLUMNS, require_columns, without_nan

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
