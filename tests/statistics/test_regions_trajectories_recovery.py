from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests

from convergent.statistics import (
    coverage_summary,
    modality_profile,
    recovery,
    region_profile,
    step_positions,
    trajectories,
)

BENCHMARKS = {"vision": "top1", "language": "top1"}


def test_region_p_is_that_of_the_subjects_mean_and_q_is_bh_over_regions(study):
    profile = region_profile(study.alignment)
    one = profile.filter(
        (pl.col("model") == "vis-fam1-m0")
        & (pl.col("checkpoint") == "final")
        & (pl.col("choice") == "best")
    )
    raw = study.alignment.filter(
        (pl.col("model") == "vis-fam1-m0")
        & (pl.col("checkpoint") == "final")
        & (pl.col("choice") == "best")
        & (pl.col("region") == "L_4")
    )
    got = one.filter(pl.col("region") == "L_4")["p"][0]
    assert got == raw["p_permutation"][0]
    np.testing.assert_allclose(one["q"], multipletests(one["p"], method="fdr_bh")[1])


def test_without_permutations_region_p_and_q_are_null(study):
    profile = region_profile(study.alignment.drop("p_permutation"))
    assert profile["p"].null_count() == profile["q"].null_count() == profile.height


def test_modality_profile_counts_final_trained_models_only(study):
    table = modality_profile(region_profile(study.alignment))
    assert set(table["n_models"]) == {12}
    v1 = table.filter((pl.col("region") == "L_V1") & (pl.col("choice") == "best"))
    assert v1["n_significant"][0] == 12


def test_step_zero_has_a_place_on_the_log_axis_left_of_step_one():
    places = step_positions([0, 1, 10, 100])
    assert places == pytest.approx({0: -0.5, 1: 0.0, 10: 1.0, 100: 2.0})
    assert step_positions([0]) == pytest.approx({0: 0.0})


def test_trajectories_keep_step_zero_and_only_models_with_several_steps(study):
    table = trajectories(
        study.alignment, study.performance, benchmarks=BENCHMARKS, ceiling_threshold=0.05
    )
    one = table.filter((pl.col("dataset") == "scenes") & (pl.col("choice") == "best"))
    assert one["step"].to_list() == [0, 1, 10, 100, 1000]
    assert set(one["model"]) == {"vis-fam0-m0"}
    assert one["performance"].null_count() == 0


def test_a_checkpoint_without_performance_stays_with_null(study):
    performance = study.performance.filter(pl.col("checkpoint") != "step10")
    table = trajectories(
        study.alignment, performance, benchmarks=BENCHMARKS, ceiling_threshold=0.05
    ).filter((pl.col("dataset") == "scenes") & (pl.col("choice") == "best"))
    assert table.filter(pl.col("step") == 10)["performance"][0] is None


def test_no_steps_give_an_empty_table(study):
    alignment = study.alignment.with_columns(step=pl.lit(None, dtype=pl.Int64))
    table = trajectories(
        alignment, study.performance, benchmarks=BENCHMARKS, ceiling_threshold=0.05
    )
    assert table.height == 0


def test_recovery_finds_what_was_planted(study):
    found = recovery(
        study.alignment.filter(pl.col("dataset") == "scenes"),
        study.truth,
        study.performance,
        benchmarks=BENCHMARKS,
    )
    judged = found.checks.filter(pl.col("criterion") != "for comparison")
    assert judged["passed"].to_list() == [True] * 6
    assert found.regions.height == 11
    assert found.regions["score_ratio"].drop_nulls().is_between(0.2, 1.0).all()


def test_recovery_fails_its_checks_when_regions_are_mixed_up(study):
    scenes = study.alignment.filter(pl.col("dataset") == "scenes")
    names = study.truth["region"].to_list()
    swapped = scenes.with_columns(pl.col("region").replace_strict(names, names[::-1]))
    found = recovery(swapped, study.truth)
    assert not found.checks["passed"][0]
    assert not found.checks["passed"][2]


def test_recovery_leaves_open_what_it_cannot_check(study):
    trained = study.alignment.filter(
        (pl.col("dataset") == "scenes") & (pl.col("role") == "trained")
    )
    found = recovery(trained, study.truth.filter(pl.col("driven")))
    by_name = dict(zip(found.checks["check"], found.checks["passed"], strict=True))
    assert by_name["mean score of regions that nothing drives"] is None
    assert found.regions["gain"].null_count() == found.regions.height


def test_coverage_counts_and_withholds_below_the_minimum(study):
    coverage = coverage_summary(study.coverage, minimum=1.0)
    assert coverage.ok == coverage.expected - 1
    assert not coverage.sufficient
    assert coverage.by_model["reasons"][0] == "block.0: NaN in the output"
    assert coverage_summary(study.coverage, minimum=0.9).sufficient
    assert not coverage_summary(study.coverage.clear(), minimum=0.5).sufficient
