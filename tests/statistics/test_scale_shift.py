"""Scale: peaks that are there, curves that are flat, and shifts that nothing but bias makes."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from convergent.alignment import Problem
from convergent.alignment.similarity import compare_layers
from convergent.statistics import (
    axis_of,
    flatness,
    scale_curves,
    scale_peak,
    scale_peaks,
    scale_shift,
    scale_shifts,
    typical_p,
)

SCALES = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
STEPS = np.log2(SCALES)


def curve(centre, height=1.0):
    return height * np.exp(-((STEPS - centre) ** 2) / 2)


def test_biased_cka_shifts_with_nothing_to_shift_and_unbiased_cka_does_not():
    rng = np.random.default_rng(0)
    size = np.geomspace(3, 120, 10).astype(int)
    position, region = np.linspace(0, 1, 10), np.repeat(np.arange(10), size)
    scales = (0.5, 1.0, 2.0)
    metrics = {"cka_rbf": {"scales": scales}, "cka_rbf_biased": {"scales": scales}}
    hits = dict.fromkeys(metrics, 0)
    for _ in range(60):
        responses = rng.standard_normal((40, region.size))
        layers = [rng.standard_normal((40, int(2 ** rng.uniform(3, 8)))) for _ in range(5)]
        found = compare_layers(
            layers, [Problem(responses, None, region)], 10, metrics, dtype="float64"
        )
        for name in metrics:
            values = np.stack([one[0][name].score.T for one in found])
            hits[name] += scale_shift(values, np.log2(scales), position).p < 0.05
    assert hits["cka_rbf"] <= 8  # P(more than 8 of 60 at 5 %) < 0.01
    assert hits["cka_rbf_biased"] > 50


def test_curves_of_one_shape_do_not_shift_whatever_their_height():
    rng = np.random.default_rng(0)
    position = np.linspace(0, 1, 20)
    hits = naive = 0
    for _ in range(300):
        height = (0.4 - 0.3 * position) * np.exp(0.3 * rng.standard_normal((6, 1)))
        values = height[:, :, None] * curve(0.7) + 0.02 * rng.standard_normal((6, 20, 5))
        hits += scale_shift(values, STEPS, position).p < 0.05
        tilt = values @ STEPS @ (position - 0.5)
        naive += stats.ttest_1samp(tilt, 0).pvalue < 0.05
    assert hits / 300 < 0.085
    assert naive / 300 > 0.9


def test_a_shift_is_found_with_its_slope():
    rng = np.random.default_rng(0)
    position = np.linspace(0, 1, 20)
    turned = np.stack([rng.permutation(position) for _ in range(999)])
    clean = np.stack([np.stack([curve(0.5 * (x - 0.5)) for x in position])] * 6)
    values = clean + 0.005 * rng.standard_normal(clean.shape)
    found = scale_shift(values, STEPS, position, spun=turned)
    centres = (clean[0] @ STEPS) / clean[0].sum(axis=1)
    assert found.slope == pytest.approx(np.polyfit(position, centres, 1)[0], rel=0.05)
    assert found.low < found.slope < found.high
    assert found.p < 0.01
    assert found.p_spin < 0.01


def test_a_shift_that_follows_the_ceiling_is_none_once_that_is_given():
    rng = np.random.default_rng(0)
    position = np.linspace(0, 1, 20)
    turned = np.stack([rng.permutation(position) for _ in range(499)])
    plain = given = 0
    for _ in range(60):
        ceiling = position + 0.2 * rng.standard_normal(20)
        clean = np.stack([np.stack([curve(0.5 * (x - 0.5)) for x in ceiling])] * 6)
        values = clean + 0.02 * rng.standard_normal(clean.shape)
        plain += scale_shift(values, STEPS, position, spun=turned).p_spin < 0.05
        left = scale_shift(values, STEPS, position, spun=turned, given=ceiling[:, None])
        given += left.p_spin < 0.05
    assert plain == 60
    assert given <= 8  # P(more than 8 of 60 at 5 %) < 0.01


def test_regions_that_differ_at_random_shift_over_families_and_not_over_places():
    rng = np.random.default_rng(3)
    position = np.linspace(0, 1, 20)
    turned = np.stack([rng.permutation(position) for _ in range(499)])
    families = places = 0
    for _ in range(150):
        own = np.stack([curve(0.3 * rng.standard_normal()) for _ in position])
        values = own + 0.01 * rng.standard_normal((6, 20, 5))
        found = scale_shift(values, STEPS, position, spun=turned)
        families += found.p < 0.05
        places += found.p_spin < 0.05
    assert families / 150 > 0.5
    assert places / 150 < 0.1


def test_too_few_families_give_no_test():
    found = scale_shift(np.ones((2, 12, 5)), STEPS, np.linspace(0, 1, 12))
    assert np.isnan(found.p)
    assert np.isnan(found.slope)


def test_a_peak_lies_between_the_scales_and_an_edge_is_called_one():
    curves = np.stack([curve(0.4)] * 6) + 0.001 * np.arange(6)[:, None]
    inside = scale_peak(curves, SCALES, bootstraps=200, seed=[0])
    assert inside.peak == pytest.approx(2**0.4, rel=0.06)
    assert (inside.edge, inside.edge_share) == ("", 0.0)
    rising = scale_peak(np.stack([STEPS] * 6), SCALES, bootstraps=200, seed=[0])
    assert (rising.peak, rising.edge, rising.edge_share) == (4.0, "high", 1.0)
    few = scale_peak(curves[:3], SCALES, bootstraps=200, seed=[0])
    assert (few.low, few.high) == (None, None)


def test_a_flat_curve_is_not_given_a_peak():
    rng = np.random.default_rng(0)
    p = [flatness(0.1 + rng.standard_normal((6, 5)), STEPS) for _ in range(600)]
    assert 0.03 < np.mean(np.array(p) < 0.05) < 0.08
    assert flatness(curve(0.4) + 0.01 * rng.standard_normal((6, 5)), STEPS) < 0.001
    assert np.isnan(flatness(np.ones((3, 5)), STEPS))


def _alignment(p: float) -> pl.LazyFrame:
    rng = np.random.default_rng(0)
    rows = [
        {
            "dataset": "d", "modality": "vision", "metric": "cka_rbf", "choice": "best",
            "role": "trained", "final": True, "family": f"f{f}", "model": f"m{f}", "subject": s,
            "region": f"r{r:02d}", "network": "early" if r < 6 else "late", "scale": scale,
            "score": 0.0, "score_chance_corrected": value + rng.normal(0, 0.003),
            "p_permutation": p,
            "noise_ceiling": 0.5, "n_targets": 10, "axis_position": r / 11,
        }
        for f in range(6) for s in ("a", "b") for r in range(12)
        for scale, value in zip(SCALES.tolist(), curve(0.9 * r / 11 - 0.4, 0.2), strict=True)
    ]  # fmt: skip
    return pl.DataFrame(rows).lazy()


def test_the_tables_say_peak_and_shift_with_the_reason_for_what_is_missing():
    table = _alignment(0.01)
    curves = scale_curves(table, ceiling_threshold=0.1)
    peaks = scale_peaks(curves, typical_p(table), bootstraps=100, seed=0)
    regions = peaks.filter(pl.col("kind") == "region").sort("place")
    assert set(regions["state"]) == {"peak"}
    np.testing.assert_allclose(np.log2(regions["peak"]), 0.9 * np.arange(12) / 11 - 0.4, atol=0.15)
    axis = axis_of([(f"r{r:02d}", "", r / 11) for r in range(12)])
    shifts = scale_shifts(curves, peaks, {"d": axis})
    mean = shifts.filter((pl.col("level") == "mean") & (pl.col("given") == "")).row(0, named=True)
    assert mean["slope"] > 0
    assert mean["p"] < 0.001
    assert mean["p_spin"] is None
    assert "no atlas" in mean["reason"]
    assert (mean["n_peaks"], mean["n_above"]) == (12, 12)
    assert shifts.filter(pl.col("level") == "subject").height == 2


@pytest.mark.parametrize(("p", "state"), [(0.4, "untested"), (0.01, "no alignment")])
def test_few_permutations_are_not_taken_for_no_alignment(p, state):
    table = _alignment(0.4)
    if state == "no alignment":  # one model reached the smallest p, the typical one did not
        table = table.with_columns(
            p_permutation=pl.when(pl.col("model") == "m0")
            .then(0.01)
            .otherwise(pl.col("p_permutation"))
        )
    curves = scale_curves(table, ceiling_threshold=0.1)
    peaks = scale_peaks(curves, typical_p(table), bootstraps=50, seed=0)
    states = set(peaks.filter(pl.col("kind") == "region")["state"])
    assert states == ({"no alignment"} if state == "no alignment" else {"peak"})
