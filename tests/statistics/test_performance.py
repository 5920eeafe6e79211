from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from convergent.errors import TableError
from convergent.statistics import model_alignment, performance_alignment

OPTIONS = {"ceiling_threshold": 0.05, "seed": 0, "bootstraps": 200, "permutations": 199}
BENCHMARKS = {"vision": "top1", "language": "top1"}


def correlations(study, **changes):
    tables = {
        "alignment": study.alignment,
        "performance": study.performance,
        "models": study.models,
    } | changes
    return performance_alignment(**tables, benchmarks=BENCHMARKS, **OPTIONS)


def headline(table, dataset="scenes", measure="score", choice="best"):
    return table.filter(
        (pl.col("dataset") == dataset)
        & (pl.col("scope") == "all")
        & (pl.col("measure") == measure)
        & (pl.col("choice") == choice)
    ).row(0, named=True)


def test_the_planted_correlation_is_found_and_equals_scipy_on_hand_made_means(study):
    row = headline(correlations(study))
    by_hand = (
        study.alignment.filter(
            (pl.col("dataset") == "scenes")
            & (pl.col("role") == "trained")
            & pl.col("final")
            & (pl.col("choice") == "best")
            & (pl.col("noise_ceiling") >= 0.05)
        )
        .group_by("model", "subject")
        .agg(pl.col("score").mean())
        .group_by("model")
        .agg(pl.col("score").mean())
        .join(study.performance.filter(pl.col("final")), on="model", suffix="_performance")
    )
    expected = stats.pearsonr(by_hand["score"], by_hand["score_performance"]).statistic
    assert row["r"] == pytest.approx(expected)
    assert row["r"] > 0.9
    assert row["r_low"] < row["r"] < row["r_high"]
    assert row["p"] == pytest.approx(1 / 200)
    assert row["n_models"] == 12 and row["n_families"] == 4


def test_nothing_planted_nothing_found(planted_study):
    p = [
        headline(correlations(planted_study(slope=0.0, seed=s)), dataset)["p"]
        for s in range(6)
        for dataset in ("scenes", "story")
    ]
    assert np.mean(np.array(p) < 0.05) < 0.4
    assert min(p) >= 1 / 200


def test_every_question_has_its_row(study):
    table = correlations(study)
    scenes = table.filter(pl.col("dataset") == "scenes")
    assert set(scenes["scope"]) == {"all", "network", "subject"}
    assert set(scenes["measure"]) == {"score", "score_normalised"}
    assert set(scenes["choice"]) == {"best", "fixed"}
    subjects = scenes.filter(pl.col("scope") == "subject")["scope_value"]
    assert set(subjects) == {"sim01", "sim02", "sim03"}
    # A network whose ceiling is below the threshold has no row.
    assert "Somatomotor" not in scenes["scope_value"].to_list()


def test_controls_and_random_twins_never_enter(study):
    spoiled = study.alignment.with_columns(
        score=pl.when(pl.col("role") != "trained").then(9.0).otherwise(pl.col("score"))
    )
    assert headline(correlations(study, alignment=spoiled)) == headline(correlations(study))
    assert "vis-control: control without weights" in headline(correlations(study))["left_out"]


def test_a_model_without_score_or_with_a_hole_is_left_out_by_name(study):
    performance = study.performance.filter(pl.col("model") != "vis-fam1-m1")
    alignment = study.alignment.filter(
        ~(
            (pl.col("model") == "vis-fam2-m2")
            & (pl.col("subject") == "sim02")
            & (pl.col("region") == "L_V1")
        )
    )
    row = headline(correlations(study, performance=performance, alignment=alignment))
    assert row["n_models"] == 10
    assert "vis-fam1-m1: no top1 score" in row["left_out"]
    assert "vis-fam2-m2: only 29 of 30 subject-region scores" in row["left_out"]


def test_the_mask_looks_at_the_ceiling_and_never_at_the_score(study):
    low = study.alignment.with_columns(score=pl.col("score") - 5)
    kept = model_alignment(low, ceiling_threshold=0.05)
    usual = model_alignment(study.alignment, ceiling_threshold=0.05)
    assert kept["cells"].to_list() == usual["cells"].to_list()


def test_a_data_set_without_ceilings_keeps_all_regions(study):
    story = study.alignment.with_columns(noise_ceiling=pl.lit(float("nan")))
    table = model_alignment(story, ceiling_threshold=0.05).filter(
        (pl.col("dataset") == "scenes") & (pl.col("scope") == "all")
    )
    assert set(table["n_regions"]) == {11}


def test_fewer_than_three_models_give_a_reason_and_no_r(study):
    names = ["vis-fam0-m0", "vis-fam1-m0"]
    row = headline(
        correlations(
            study,
            alignment=study.alignment.filter(pl.col("model").is_in(names)),
            models=study.models.filter(pl.col("model").is_in(names)),
        )
    )
    assert row["r"] is None and row["p"] is None
    assert "at least 3" in row["reason"]


def test_constant_performance_gives_a_reason_and_no_r(study):
    row = headline(
        correlations(study, performance=study.performance.with_columns(score=pl.lit(0.5)))
    )
    assert row["r"] is None
    assert row["reason"] == "performance is the same for every model"


def test_rows_do_not_depend_on_the_order_or_presence_of_others(study):
    alone = correlations(
        study,
        alignment=study.alignment.filter(pl.col("dataset") == "scenes").sample(
            fraction=1.0, shuffle=True, seed=3
        ),
    )
    together = correlations(study).filter(pl.col("dataset") == "scenes")
    numbers = [c for c in alone.columns if alone.schema[c] == pl.Float64]
    assert alone.drop(numbers).equals(together.drop(numbers))
    for name in numbers:
        np.testing.assert_allclose(
            alone[name].fill_null(9).to_numpy(), together[name].fill_null(9).to_numpy(), atol=1e-9
        )


def test_two_final_scores_of_one_model_are_refused(study):
    double = pl.concat([study.performance, study.performance])
    with pytest.raises(TableError, match="more than one final score"):
        correlations(study, performance=double)


def test_a_missing_column_is_named():
    with pytest.raises(TableError, match="noise_ceiling"):
        model_alignment(pl.DataFrame({"dataset": ["a"]}), ceiling_threshold=0.1)


def test_an_empty_alignment_gives_an_empty_table(study):
    table = correlations(study, alignment=study.alignment.clear())
    assert table.height == 0 and "r" in table.columns
