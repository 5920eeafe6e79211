"""Scores over subjects: t intervals, of means over regions where asked, and nothing masked."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from convergent.errors import TableError
from convergent.statistics import ALL_REGIONS, subject_scores

CEILINGS = pl.DataFrame(
    {"dataset": ["d", "d"], "metric": ["rsa", "rsa"], "scale": [None, None],
     "region": ["V1", "IT"], "lower": [0.2, 0.4], "upper": [0.5, 0.7]},
    schema_overrides={"scale": pl.Float64},
)  # fmt: skip


def table(subjects=6, metric="ridge_r", seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {
            "dataset": "d", "modality": "vision", "family": "f", "model": "m",
            "checkpoint": "final", "role": "trained", "step": None, "final": True,
            "subject": f"s{s}", "region": region, "network": None, "choice": "best",
            "metric": metric, "scale": float("nan"), "score": rng.normal(0.3, 0.1),
            "score_normalised": float("nan") if s == 0 else rng.normal(0.6, 0.1),
            "noise_ceiling": 0.25,
        }
        for s in range(subjects)
        for region in ("V1", "IT")
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"step": pl.Int64, "network": pl.String})


def row(found, region):
    return found.filter(pl.col("region") == region).row(0, named=True)


def test_intervals_are_those_of_scipy():
    rows = table()
    found = subject_scores(rows, CEILINGS)
    assert found.height == 3 and set(found["n_subjects"]) == {6}
    for region in ("V1", "IT", ALL_REGIONS):
        part = rows if region == ALL_REGIONS else rows.filter(pl.col("region") == region)
        means = part.group_by("subject", maintain_order=True).agg(pl.col("score").mean())["score"]
        expected = stats.ttest_1samp(means.to_numpy(), 0.0)
        low, high = expected.confidence_interval(0.95)
        one = row(found, region)
        np.testing.assert_allclose(one["score"], means.mean())
        np.testing.assert_allclose([one["score_low"], one["score_high"]], [low, high])
        np.testing.assert_allclose(one["p_subjects"], expected.pvalue)
        assert one["ceiling_lower"] is None


def test_shares_are_of_the_subjects_that_have_one():
    rows = table()
    one = row(subject_scores(rows, CEILINGS), "V1")
    values = rows.filter((pl.col("region") == "V1") & pl.col("score_normalised").is_not_nan())
    assert values.height == 5
    interval = stats.ttest_1samp(values["score_normalised"].to_numpy(), 0).confidence_interval()
    np.testing.assert_allclose([one["normalised_low"], one["normalised_high"]], interval)
    np.testing.assert_allclose(one["noise_ceiling"], 0.25)


def test_one_subject_has_no_interval():
    one = row(subject_scores(table(1), CEILINGS), "IT")
    assert one["score"] is not None and one["n_subjects"] == 1
    assert [one[n] for n in ("score_low", "score_high", "p_subjects")] == [None] * 3


def test_bounds_of_similarity_metrics_stand_beside_their_scores():
    found = subject_scores(table(metric="rsa"), CEILINGS)
    assert [row(found, r)["ceiling_lower"] for r in ("V1", "IT")] == [0.2, 0.4]
    assert row(found, ALL_REGIONS)["ceiling_lower"] == pytest.approx(0.3)


def test_coverage_is_95_percent():
    """Of 400 draws of 5 subjects, the interval holds the truth in about 95 of 100."""
    rng = np.random.default_rng(1)
    base = table(5).filter(pl.col("region") == "V1")
    parts = [
        base.with_columns(model=pl.lit(f"m{k}"), score=pl.Series(rng.normal(0.3, 0.1, 5)))
        for k in range(400)
    ]
    found = subject_scores(pl.concat(parts), CEILINGS).filter(pl.col("region") == "V1")
    inside = (found["score_low"] < 0.3) & (found["score_high"] > 0.3)
    assert 0.92 < inside.mean() < 0.98


def test_tables_without_rows_or_columns():
    assert subject_scores(table().clear(), CEILINGS).is_empty()
    with pytest.raises(TableError, match="metric"):
        subject_scores(table().drop("metric"), CEILINGS)
