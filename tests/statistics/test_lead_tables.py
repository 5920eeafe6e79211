"""From tidy tables to onsets and verdicts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from convergent.errors import TableError
from convergent.statistics import (
    EVERY_MODEL,
    LEAD_SCHEMA,
    ONSET_SCHEMA,
    Run,
    run_of,
    training_leads,
    training_onsets,
    trajectories,
)
from convergent.statistics.leads import Subjects

STEPS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 2000, 4000, 8000, 16000, 32000, 64000,
         100000, 143000)  # fmt: skip


def logistic(step, middle):
    place = np.log10(np.maximum(step, 0.3))
    return 1 / (1 + np.exp(-(place - middle) / 0.4))


def study(*, lead=0.0, models=("a", "b", "c"), steps=STEPS, seed=0, subjects=3):
    """Alignment per subject, accuracy (a threshold of ability) and bits per byte."""
    rng = np.random.default_rng(seed)
    rows, scores = [], []
    for model in models:
        shared = {"model": model, "family": model, "modality": "language"}
        for step in steps:
            name = f"step{step}"
            ability = logistic(step, 3.0 + lead)
            for s in range(subjects):
                value = 0.1 + 0.2 * logistic(step, 3.0) + 0.02 * s + 0.004 * rng.normal()
                rows.append({
                    **shared, "dataset": "story", "checkpoint": name, "role": "trained",
                    "step": step, "final": step == steps[-1], "subject": f"s{s}", "region": "R",
                    "network": "", "choice": "best", "metric": "ridge_r", "scale": None,
                    "score": value, "score_normalised": value, "noise_ceiling": 0.5,
                })  # fmt: skip
            for benchmark, score in (
                ("acc", stats.norm.cdf((ability - 0.8) / 0.05) + 0.01 * rng.normal()),
                ("bits_per_byte", 4 - 3 * ability + 0.03 * rng.normal()),
            ):
                scores.append({**shared, "checkpoint": name, "benchmark": benchmark,
                               "score": score})  # fmt: skip
    alignment = pl.DataFrame(rows, infer_schema_length=None).cast({"scale": pl.Float64})
    return alignment, pl.DataFrame(scores)


def told(alignment, performance, resampled=None, draws=199):
    table = trajectories(
        alignment, performance, benchmarks={"language": ["acc"]}, ceiling_threshold=0.05
    )
    options = {"ceiling_threshold": 0.05}
    onsets = training_onsets(table, alignment, **options)
    leads = training_leads(table, alignment, resampled, seed=0, draws=draws, **options)
    assert dict(leads.schema) == LEAD_SCHEMA and dict(onsets.schema) == ONSET_SCHEMA
    return table, onsets, leads


def at_half(leads, benchmark, model=EVERY_MODEL):
    mine = (pl.col("share") == 0.5) & (pl.col("benchmark") == benchmark)
    return leads.filter(mine & (pl.col("model") == model)).row(0, named=True)


def test_continuous_measures_stand_beside_the_benchmark_and_carry_the_claim():
    table, onsets, leads = told(*study())
    assert set(table["benchmark"]) == {"acc", "bits_per_byte"}
    bits, acc = at_half(leads, "bits_per_byte"), at_half(leads, "acc")
    assert bits["verdict"] in ("open", "resolution") and bits["low"] < 0 < bits["high"]
    # the threshold alone shows a lag that is far outside the null: nothing is claimed from it
    assert acc["p"] < 0.05 and acc["low"] > 0
    assert acc["verdict"] == "open" and "threshold" in acc["reason"]
    assert (bits["n_models"], bits["n_runs"], bits["n_subjects"]) == (3, 3, 3)
    rise = onsets.filter((pl.col("measure") == "bits_per_byte") & (pl.col("share") == 0.5))
    assert rise["step"].to_numpy() == pytest.approx(1000, rel=0.3)
    assert (rise["first"] > rise["last"]).all() and set(rise["kind"]) == {"continuous"}
    assert (rise["before"] <= rise["step"]).all() and (rise["step"] <= rise["after"]).all()


@pytest.mark.parametrize(
    ("lead", "verdict"), [(0.8, "alignment first"), (-0.8, "performance first")]
)
def test_a_planted_order_is_told(lead, verdict):
    leads = told(*study(lead=lead))[2]
    row = at_half(leads, "bits_per_byte")
    assert row["verdict"] == verdict and row["reason"] == ""
    assert row["low"] < lead < row["high"]
    assert at_half(leads, "bits_per_byte", "b")["verdict"] == verdict


def test_few_checkpoints_say_that_they_cannot_tell():
    leads = told(*study(steps=(0, 10, 100, 3000, 30000, 143000), lead=0.05))[2]
    row = at_half(leads, "bits_per_byte")
    assert row["verdict"] == "resolution" and row["resolved"] < 0.5
    short = told(*study(steps=(0, 100, 143000)))[2]
    assert set(short["verdict"]) == {"undefined"}
    assert "fewer than 5 checkpoints" in short["reason"][0]


def test_runs_that_differ_by_their_seed_are_one_model():
    assert run_of("pythia-160m-seed3", "step512") == Run("pythia-160m", "3")
    assert run_of("net", "seed_2-step512") == Run("net", "2")
    assert run_of("seedling-7b", "final") == Run("seedling-7b", "")
    leads = told(*study(models=("a-seed1", "a-seed2", "b")))[2]
    row = at_half(leads, "bits_per_byte")
    assert (row["n_models"], row["n_runs"]) == (2, 3)
    assert at_half(leads, "bits_per_byte", "a")["n_runs"] == 2


def test_curves_are_compared_where_both_were_measured():
    alignment, performance = study()
    early = [f"step{step}" for step in STEPS[:6]]
    late = told(alignment, performance.filter(~pl.col("checkpoint").is_in(early)))[2]
    row = at_half(late, "bits_per_byte")
    assert row["n_checkpoints"] == len(STEPS) - 6
    assert row["low"] < 0 < row["high"]


def test_resampled_stimuli_and_subjects_enter_the_noise_together():
    alignment, performance = study()
    rng = np.random.default_rng(1)
    bends = {r: 0.04 * rng.normal() for r in range(40)}
    cells = alignment.select("dataset", "model", "checkpoint", "subject", "choice", "score", "step")
    rows = [
        {**row, "resample": r, "alignment": row["score"] + bend * np.sin(
            np.pi * logistic(row["step"], 3.0))}
        for row in cells.iter_rows(named=True) for r, bend in bends.items()
    ]  # fmt: skip
    resampled = pl.DataFrame(rows).drop("score", "step")
    plain = at_half(told(alignment, performance)[2], "bits_per_byte")
    known = at_half(told(alignment, performance, resampled)[2], "bits_per_byte")
    assert (plain["resamples"], known["resamples"]) == (0, 40)
    assert known["lag"] == plain["lag"]
    # one draw of the stimuli bends all models: it does not average out over them
    assert known["null_high"] - known["null_low"] > 1.5 * (plain["null_high"] - plain["null_low"])
    with pytest.raises(TableError, match="resample"):
        told(alignment, performance, resampled.drop("resample"))


def test_deviations_of_subjects_vary_as_their_mean_does():
    rng = np.random.default_rng(2)
    values = rng.normal(size=6)
    rows = pl.DataFrame({
        "model": ["m"] * 6, "checkpoint": ["c"] * 6, "choice": ["best"] * 6,
        "subject": [f"s{k}" for k in range(6)], "alignment": values,
    })  # fmt: skip
    empty = rows.clear().with_columns(resample=pl.lit(0, dtype=pl.Int64))
    found = Subjects(rows, empty, 0).deviations("m", ["c"], "best")
    assert found is not None
    assert found.std() == pytest.approx(values.std(ddof=1) / np.sqrt(6), rel=0.1)
    assert Subjects(rows, empty, 0).deviations("m", ["absent"], "best") is None
    assert Subjects(rows[:1], empty, 0).deviations("m", ["c"], "best") is None


def test_no_trajectory_gives_empty_tables():
    alignment, performance = study(steps=(143000,))
    table, onsets, leads = told(alignment, performance)
    assert table.is_empty() and onsets.is_empty() and leads.is_empty()
