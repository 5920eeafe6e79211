"""Families: shares of variance, what they do to r, and the test that knows of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from convergent.statistics import (
    MINIMUM_FAMILIES,
    Families,
    correlation_variance,
    family_bootstrap,
    family_correlation,
    intraclass,
    pearson,
    permutation_p,
)
from convergent.statistics.families import Moments, draw_moments, interval_ends
from families import SIZES, labels, pairs


def moments_of(x, families):
    moments = Moments.of(x, x, families)
    return moments.mean_x, moments.within_xx


@pytest.mark.parametrize("seed", range(4))
def test_moments_give_pearsons_r(seed):
    x, y, families = pairs(np.random.default_rng(seed), SIZES, 0.6, r=0.4, count=3)
    found = Moments.of(x, y, families).correlation(families.size)
    assert found == pytest.approx([pearson(a, b) for a, b in zip(x, y, strict=True)])


@pytest.mark.parametrize("seed", range(3))
def test_the_share_between_families_is_that_of_statsmodels_to_the_grid(seed):
    x, _, families = pairs(np.random.default_rng(seed), [8] * 15, 0.5)
    fitted = sm.MixedLM(x[0], np.ones((120, 1)), groups=families.member).fit(reml=True)
    between = float(fitted.cov_re[0, 0])
    expected = between / (between + fitted.scale)
    assert intraclass(*moments_of(x, families), families)[0] == pytest.approx(expected, abs=0.026)


def test_families_of_one_have_no_share():
    x, _, families = pairs(np.random.default_rng(0), [1] * 9, 0.9)
    assert intraclass(*moments_of(x, families), families).tolist() == [0.0]


def test_the_variance_of_r_is_that_of_simulated_r_and_one_over_n_without_families():
    assert correlation_variance(0, 0, np.array(SIZES, float)) == pytest.approx(1 / 42)
    x, y, families = pairs(np.random.default_rng(1), [6] * 40, 0.5, count=4000)
    r = Moments.of(x, y, families).correlation(families.size)
    # the formula is a ratio of means: close with many families
    assert correlation_variance(0.5, 0.5, families.size) == pytest.approx(r.var(), rel=0.1)


def test_it_holds_its_level_where_a_permutation_of_models_rejects_far_too_often():
    x, y, families = pairs(np.random.default_rng(2), SIZES, 0.8, count=400)
    p = [
        family_correlation(a, b, labels(families), draws=999, seed=0).p
        for a, b in zip(x, y, strict=True)
    ]
    naive = [permutation_p(a, b, permutations=199, seed=0) for a, b in zip(x, y, strict=True)]
    # 400 simulations: 5 % is 20, and 3 standard errors are 13
    assert 0.015 <= np.mean(np.array(p) <= 0.05) <= 0.085
    assert np.mean(np.array(naive) <= 0.05) > 0.25


def test_p_and_interval_agree_about_zero():
    x, y, families = pairs(np.random.default_rng(3), SIZES, 0.5, r=0.4, count=120)
    for a, b in zip(x, y, strict=True):
        found = family_correlation(a, b, labels(families), draws=499, seed=0)
        assert (found.p <= 0.05) == (found.low > 0 or found.high < 0)
        assert found.low <= found.r <= found.high


def test_the_intervals_ends_invert_a_distance_that_grows_towards_the_estimate():
    z, at_zero, there = 1.2, 0.4, 0.7
    low, high = (math.atanh(end) for end in interval_ends(z, at_zero, there))
    assert z - low == pytest.approx(at_zero + (there - at_zero) * low / z)
    assert high == pytest.approx(z + there)
    assert interval_ends(-z, at_zero, there) == pytest.approx((-math.tanh(high), -math.tanh(low)))
    assert interval_ends(0.4 + 1e-9, 0.4, 2.0)[0] > 0 > interval_ends(0.4 - 1e-9, 0.4, 2.0)[0]


def test_drawn_moments_are_those_of_drawn_models():
    shares, related = (0.3, 0.8), (0.9, -0.4)
    families = Families.of(np.repeat(np.arange(6), [5, 4, 3, 2, 1, 1]).astype(str))
    rng = np.random.default_rng(12)
    drawn = draw_moments(families, shares, related, 40_000, rng)
    between, own = rng.standard_normal((2, 40_000, 6)), rng.standard_normal((2, 40_000, 16))
    for values, r in ((between, related[0]), (own, related[1])):
        values[1] = r * values[0] + math.sqrt(1 - r**2) * values[1]
    x, y = (
        math.sqrt(share) * between[i][:, families.member] + math.sqrt(1 - share) * own[i]
        for i, share in enumerate(shares)
    )
    expected = Moments.of(x, y, families)
    for of in (lambda m: m.correlation(families.size), lambda m: m.within()):
        assert np.quantile(of(drawn), [0.1, 0.5, 0.9]) == pytest.approx(
            np.quantile(of(expected), [0.1, 0.5, 0.9]), abs=0.02
        )


def test_its_interval_holds_the_truth_more_often_than_resampled_families():
    truth, count = 0.6, 250
    x, y, families = pairs(np.random.default_rng(4), [6, 4, 3, 2, 2, 1], 0.7, r=truth, count=count)
    held = resampled = 0
    for a, b in zip(x, y, strict=True):
        found = family_correlation(a, b, labels(families), draws=999, seed=0)
        held += found.low <= truth <= found.high
        low, high, _ = family_bootstrap(a, b, labels(families), bootstraps=300, seed=0)
        resampled += low <= truth <= high
    assert held / count > 0.91
    assert resampled / count < 0.91


def test_models_without_relatives_count_as_independent():
    rng = np.random.default_rng(5)
    x = rng.normal(size=30)
    y = 0.5 * x + rng.normal(size=30)
    found = family_correlation(x, y, [str(i) for i in range(30)], draws=20_000, seed=1)
    assert found.n_effective == pytest.approx(30)
    assert found.p == pytest.approx(stats.pearsonr(x, y).pvalue, abs=0.01)
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.04)


def test_nothing_is_tested_with_few_families_and_the_reason_is_given():
    x, y, families = pairs(np.random.default_rng(6), [5] * (MINIMUM_FAMILIES - 1), 0.3)
    found = family_correlation(x[0], y[0], labels(families), draws=99, seed=0)
    assert math.isnan(found.p) and math.isnan(found.low)
    assert found.r == pytest.approx(pearson(x[0], y[0]))
    assert "3 families; a test needs at least 4" in found.reason


def test_neither_unit_nor_order_of_models_changes_anything():
    x, y, families = pairs(np.random.default_rng(7), SIZES, 0.5, r=0.3)
    order = np.random.default_rng(8).permutation(43)
    names = np.array(labels(families))
    one = family_correlation(x[0], y[0], names.tolist(), draws=199, seed=0)
    other = family_correlation(
        1e6 * x[0][order] - 7, 1e-5 * y[0][order], names[order].tolist(), draws=199, seed=0
    )
    assert other[:-1] == pytest.approx(one[:-1])


@pytest.mark.parametrize(
    ("r", "n", "bound", "ends"),
    [(0.89, 36, 7.5e-13, (0.79, 0.94)), (0.53, 594, 2.0e-44, (0.47, 0.59))],
)
def test_published_correlations_have_the_published_p_and_interval(r, n, bound, ends):
    """The paper's figures take models as independent: t test and Fisher's interval."""
    x = np.random.default_rng(9).normal(size=n)
    noise = np.random.default_rng(10).normal(size=n)
    x = (x - x.mean()) / x.std()
    noise = noise - noise.mean()
    noise -= x * (x @ noise) / n
    y = r * x + math.sqrt(1 - r**2) * noise / noise.std()
    found = stats.pearsonr(x, y)
    assert pearson(x, y) == pytest.approx(r) == found.statistic
    # r is published with two digits; p of the r that rounds to it lies on both sides of the bound
    smallest = 2 * stats.t.sf(*_t(r + 0.005, n))
    assert smallest < bound < 2 * stats.t.sf(*_t(r - 0.005, n))
    interval = found.confidence_interval(0.95)
    assert np.round([interval.low, interval.high], 2).tolist() == list(ends)


def _t(r, n):
    return abs(r) * math.sqrt((n - 2) / (1 - r**2)), n - 2
