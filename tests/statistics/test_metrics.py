"""Metrics are never mixed, and each is asked the same question."""

import numpy as np
import polars as pl
import pytest

from convergent.errors import TableError
from convergent.statistics import (
    metric_correlations,
    model_alignment,
    of_metric,
    performance_alignment,
    region_profile,
    scale_profile,
)

ASKED = {
    "benchmarks": {"vision": "top1", "language": "top1"},
    "ceiling_threshold": 0.05,
    "seed": 0,
    "bootstraps": 100,
    "permutations": 99,
}


def test_averaging_over_several_metrics_is_refused(study):
    for average in (
        lambda rows: model_alignment(rows, ceiling_threshold=0.05),
        region_profile,
        lambda rows: performance_alignment(rows, study.performance, study.models, **ASKED),
    ):
        with pytest.raises(TableError, match=r"several metrics or scales \(cka, cka_rbf, ridge_r"):
            average(study.every_metric)
    two_scales = study.every_metric.filter(pl.col("metric") == "cka_rbf")
    with pytest.raises(TableError, match="several metrics or scales"):
        region_profile(two_scales)


def test_one_metric_is_found_by_name_and_a_missing_one_named(study):
    kept = of_metric(study.every_metric, "ridge_r")
    assert kept.equals(study.alignment.with_columns(pl.selectors.float().fill_nan(None)))
    with pytest.raises(TableError, match=r"'knn' \(there are: cka, cka_rbf, ridge_r\)"):
        of_metric(study.every_metric, "knn")
    with pytest.raises(TableError, match="cka_rbf"):  # every row of it has a scale
        of_metric(study.every_metric, "cka_rbf")


def test_every_metric_and_scale_is_asked_the_headlines_question(study):
    found = metric_correlations(study.every_metric, study.performance, study.models, **ASKED)
    assert set(found["scope"]) == {"all"} and set(found["measure"]) == {
        "score",
        "score_chance_corrected",
    }
    asked = found.select("metric", "scale").unique().sort("metric", "scale")
    assert asked.rows() == [
        ("cka", None), ("cka_rbf", 0.5), ("cka_rbf", 1.0), ("cka_rbf", 2.0), ("ridge_r", None),
    ]  # fmt: skip
    plain = performance_alignment(study.alignment, study.performance, study.models, **ASKED)
    keys = ["dataset", "benchmark", "choice"]
    one = plain.filter((pl.col("scope") == "all") & (pl.col("measure") == "score")).sort(keys)
    for metric, scale in asked.rows():
        mine = found.filter(
            (pl.col("metric") == metric)
            & pl.col("scale").eq_missing(scale)
            & (pl.col("measure") == "score")
        ).sort(keys)
        # the planted metrics are multiples of ridge, so all correlations are its own
        np.testing.assert_allclose(
            mine["r"].fill_null(np.nan), one["r"].fill_null(np.nan), atol=1e-10
        )
        np.testing.assert_allclose(
            mine["family_low"].fill_null(np.nan), one["family_low"].fill_null(np.nan), atol=1e-10
        )


def test_scale_profile_rises_as_planted_over_networks_or_regions(study):
    found = scale_profile(study.every_metric, ceiling_threshold=0.05)
    assert set(found["metric"]) == {"cka_rbf"}
    places = found.group_by("dataset").agg(pl.col("place").unique())
    by_dataset = {name: set(place) for name, place in places.iter_rows()}
    assert by_dataset["story"] == {"LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"}
    networks = study.alignment.filter(pl.col("dataset") == "scenes")["network"]
    assert by_dataset["scenes"] <= set(networks)
    one = found.filter(pl.col("place") == "LIFG").sort("scale")
    np.testing.assert_allclose(one["calibrated"] / one["calibrated"][0], [1, 2, 3], atol=1e-9)
    trained = study.alignment.filter((pl.col("role") == "trained") & pl.col("final"))
    n = trained.filter(pl.col("dataset") == "story")["model"].n_unique()
    assert set(one["n_models"]) == {n}


def test_scale_profile_without_scales_is_empty(study):
    assert scale_profile(study.alignment, ceiling_threshold=0.05).is_empty()
