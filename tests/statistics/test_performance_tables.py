"""What stands beside r: size and width, mixed models, contamination, the order of benchmarks."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from convergent.statistics import (
    CONTAMINATION_SCHEMA,
    MIXED_SCHEMA,
    contamination_table,
    mixed_table,
    partial_pearson,
    performance_alignment,
)

ASKED = {"ceiling_threshold": 0.05, "seed": 0}
BENCHMARKS = {"vision": ["top1"], "language": ["top1"]}


def with_width(models: pl.DataFrame) -> pl.DataFrame:
    width = pl.when(pl.col("parameters") > 0).then(pl.col("parameters").cast(pl.Float64) ** 0.4)
    noise = np.random.default_rng(0).uniform(0.5, 2, models.height)
    return models.with_columns(width=width * pl.Series(noise))


def asked(function, study, **options):
    models = options.pop("models", with_width(study.models))
    options = {"benchmarks": BENCHMARKS, **ASKED, **options}
    return function(study.alignment, study.performance, models, **options)


@pytest.fixture(scope="module")
def wide(request):
    from planted import planted_study

    return planted_study(families=8, per_family=4)


def test_partials_are_those_of_the_models_known_size_and_width(wide):
    table = asked(performance_alignment, wide, bootstraps=20, permutations=19, scopes=("all",))
    row = table.filter((pl.col("choice") == "best") & (pl.col("measure") == "score"))
    row = row.filter(pl.col("dataset") == "scenes").row(0, named=True)
    models = with_width(wide.models)
    one = (
        wide.alignment.filter(
            (pl.col("dataset") == "scenes")
            & (pl.col("choice") == "best")
            & (pl.col("role") == "trained")
            & pl.col("final")
            & (pl.col("noise_ceiling") >= 0.05)
        )
        .group_by("model", "subject")
        .agg(pl.col("score").mean())
        .group_by("model")
        .agg(pl.col("score").mean())
        .join(wide.performance.filter("final").select("model", x="score"), on="model")
        .join(models.select("model", "parameters", "width"), on="model")
    )
    size, width = (
        np.log10(one[name].cast(pl.Float64).to_numpy()) for name in ("parameters", "width")
    )
    pairs = one["x"].to_numpy(), one["score"].to_numpy()
    assert row["partial_r"] == pytest.approx(partial_pearson(*pairs, size))
    assert row["partial_r_width"] == pytest.approx(partial_pearson(*pairs, width))
    assert row["partial_r_both"] == pytest.approx(
        partial_pearson(*pairs, np.stack([size, width], 1))
    )


def test_without_widths_only_what_needs_them_is_missing(study):
    table = asked(performance_alignment, study, models=study.models, bootstraps=20, permutations=19)
    row = table.filter(pl.col("scope") == "all").row(0, named=True)
    assert row["partial_r"] is not None
    assert row["partial_r_width"] is None and row["partial_r_both"] is None
    mixed = asked(mixed_table, study, models=study.models, draws=19)
    last = mixed.filter(pl.col("model").str.contains("width"))
    assert last["estimate"].is_null().all() and last["reason"].is_not_null().all()


def test_three_mixed_models_with_their_terms(wide):
    table = asked(mixed_table, wide, draws=99)
    assert dict(table.schema) == MIXED_SCHEMA
    mine = table.filter((pl.col("dataset") == "scenes") & (pl.col("choice") == "best"))
    assert mine["term"].to_list() == [
        "performance",
        *("performance", "log10(parameters)"),
        *("performance", "log10(parameters)", "log10(width)"),
    ]
    performance = mine.filter(pl.col("term") == "performance")
    assert (performance["low"] > 0).all() and (performance["p"] == 0.01).all()
    # size was planted to mean nothing
    size = mine.filter(pl.col("term") == "log10(parameters)")
    assert (size["low"] < 0).all() and (size["high"] > 0).all()


def test_models_trained_on_coco_are_counted_and_the_unknown_with_them(wide):
    tags = pl.when(pl.col("model").str.ends_with("m1")).then(pl.lit("in1k coco-unknown"))
    models = with_width(wide.models).with_columns(tags=tags.otherwise("tags"))
    table = asked(contamination_table, wide, models=models, draws=99)
    assert dict(table.schema) == CONTAMINATION_SCHEMA
    mine = table.filter((pl.col("dataset") == "scenes") & (pl.col("choice") == "best"))
    assert mine["tagged"].to_list() == ["coco", "coco or unknown"]
    assert mine["n_tagged"].to_list() == [8, 16]
    assert (mine["low"] <= mine["difference"]).all() and (mine["difference"] <= mine["high"]).all()


def test_no_benchmark_gives_empty_tables_with_their_columns(study):
    for function in (mixed_table, contamination_table):
        assert asked(function, study, benchmarks={}, draws=9).height == 0


def test_benchmarks_come_in_the_order_asked(study):
    other = study.performance.with_columns(pl.lit("another").alias("benchmark"))
    performance = pl.concat([study.performance, other])
    table = performance_alignment(
        study.alignment,
        performance,
        study.models,
        benchmarks={"vision": ["top1", "another"], "language": ["top1"]},
        bootstraps=20,
        permutations=19,
        **ASKED,
    )
    scenes = table.filter(pl.col("dataset") == "scenes")["benchmark"].unique(maintain_order=True)
    assert scenes.to_list() == ["top1", "another"]


def test_the_family_left_out_that_changes_most_is_named(study):
    table = asked(performance_alignment, study, bootstraps=20, permutations=19, scopes=("all",))
    assert table["leave_one_family_out_family"].str.contains("fam").all()
    assert (table["leave_one_family_out_low"] <= table["leave_one_family_out_high"]).all()


def test_few_families_leave_r_without_p_and_say_so():
    from planted import planted_study

    few = planted_study(families=3, per_family=3)
    table = asked(performance_alignment, few, bootstraps=20, permutations=19, scopes=("all",))
    assert table["r"].is_not_null().all()
    assert table["p"].is_null().all() and table["low"].is_null().all()
    assert table["p_exchangeable"].is_not_null().all()
    assert table["p_reason"].str.contains("3 families; a test needs at least 4").all()
