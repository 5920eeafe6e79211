"""Noise ceilings are averaged over regions, and scores the way alignment is."""

import polars as pl
import pytest

from convergent.errors import TableError
from convergent.statistics import ceiling_summary

CEILINGS = pl.DataFrame(
    {
        "dataset": ["d"] * 5,
        "metric": ["cka", "cka", "cka", "knn", "knn"],
        "scale": [None, None, None, 1.0, 2.0],
        "region": ["a", "b", "c", "a", "a"],
        "lower": [0.2, 0.4, float("nan"), 0.1, None],
        "upper": [0.6, 0.8, None, None, None],
        "n_subjects": [3] * 5,
        "n_stimuli": [50] * 5,
    }
)


def alignment(metric="cka", scale=None):
    """Two final models, one of them with two subjects; rows that do not count beside them."""
    rows = [
        ("m1", "trained", True, "best", "s1", "a", 0.1),
        ("m1", "trained", True, "best", "s1", "b", 0.3),
        ("m1", "trained", True, "best", "s2", "a", 0.6),
        ("m1", "trained", True, "best", "s2", "b", float("nan")),
        ("m2", "trained", True, "best", "s1", "a", 0.8),
        ("m2", "trained", True, "fixed", "s1", "a", 9.0),
        ("m2", "trained", False, "best", "s1", "a", 9.0),
        ("m2", "random", True, "best", "s1", "a", 9.0),
    ]
    names = ["model", "role", "final", "choice", "subject", "region", "score"]
    return pl.DataFrame(rows, schema=names, orient="row").with_columns(
        dataset=pl.lit("d"),
        metric=pl.lit(metric),
        scale=pl.lit(scale, dtype=pl.Float64),
    )


def test_bounds_are_means_over_regions_with_a_value_beside_the_mean_of_models():
    found = ceiling_summary(CEILINGS, alignment())
    assert found.height == 3
    cka = found.row(0, named=True)
    assert cka["lower"] == pytest.approx(0.3) and cka["upper"] == pytest.approx(0.7)
    # subjects (0.2, 0.6) of the first model, then models (0.4, 0.8)
    assert cka["score"] == pytest.approx(0.6) and cka["n_models"] == 2
    assert (cka["n_subjects"], cka["n_stimuli"]) == (3, 50)


def test_scales_are_kept_apart_and_what_is_missing_is_null():
    found = ceiling_summary(CEILINGS, alignment("knn", 2.0))
    assert found["metric"].to_list() == ["cka", "knn", "knn"]
    assert found["scale"].to_list() == [None, 1.0, 2.0]
    assert found["n_models"].to_list() == [0, 0, 2]
    assert found["score"].is_null().to_list() == [True, True, False]
    assert found["lower"].is_null().to_list() == [False, False, True]


def test_a_study_without_similarity_metrics_has_an_empty_summary():
    assert ceiling_summary(CEILINGS.clear(), alignment()).is_empty()
    with pytest.raises(TableError, match="lower"):
        ceiling_summary(CEILINGS.drop("lower"), alignment())
