from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from convergent.statistics import (
    family_bootstrap,
    fisher_interval,
    leave_one_family_out,
    partial_pearson,
    pearson,
    permutation_p,
    spearman,
    within_family,
)
from convergent.statistics.correlation import weighted_pearson


@pytest.mark.parametrize("seed", range(5))
def test_r_and_rho_agree_with_scipy(seed):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 6, 30).astype(float)  # ties on purpose
    y = x + rng.normal(size=30)
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_a_constant_side_gives_nan_without_a_warning():
    assert math.isnan(pearson([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))
    assert math.isnan(spearman([1.0, 2.0, 3.0], [4.0, 4.0, 4.0]))


def test_a_side_that_varies_by_rounding_only_counts_as_constant():
    assert math.isnan(pearson([0.1 + 0.2, 0.3, 0.3], [1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    ("r", "n", "low", "high"), [(0.89, 36, 0.79, 0.94), (0.53, 594, 0.47, 0.59)]
)
def test_fisher_interval_gives_the_published_values(r, n, low, high):
    assert np.round(fisher_interval(r, n), 2).tolist() == [low, high]


def test_fisher_interval_agrees_with_scipy():
    rng = np.random.default_rng(0)
    x = rng.normal(size=25)
    y = x + rng.normal(size=25)
    expected = stats.pearsonr(x, y).confidence_interval(0.95)
    assert fisher_interval(pearson(x, y), 25) == pytest.approx((expected.low, expected.high))


def test_fisher_interval_needs_four_pairs():
    assert all(math.isnan(v) for v in fisher_interval(0.5, 3))


def test_partial_r_agrees_with_residuals_of_ordinary_least_squares():
    rng = np.random.default_rng(3)
    z = rng.normal(size=40)
    x, y = z + rng.normal(size=40), 2 * z + rng.normal(size=40)
    design = sm.add_constant(z)
    rx, ry = sm.OLS(x, design).fit().resid, sm.OLS(y, design).fit().resid
    assert partial_pearson(x, y, z) == pytest.approx(stats.pearsonr(rx, ry).statistic)


def test_partial_r_of_a_pure_confound_is_near_zero_though_r_is_large():
    rng = np.random.default_rng(4)
    z = rng.normal(size=2000)
    x, y = z + 0.3 * rng.normal(size=2000), z + 0.3 * rng.normal(size=2000)
    assert pearson(x, y) > 0.9
    assert abs(partial_pearson(x, y, z)) < 0.06


def test_partial_r_is_nan_when_size_explains_everything():
    z = np.linspace(6, 9, 10)
    assert math.isnan(partial_pearson(2 * z, np.sin(z), z))


def test_permutation_p_is_never_zero_and_small_for_a_perfect_line():
    x = np.arange(30.0)
    assert permutation_p(x, x, permutations=199, seed=0) == pytest.approx(1 / 200)


def test_permutation_p_counts_the_same_orders_as_an_exhaustive_test():
    x = np.array([1.0, 2.0, 4.0, 3.0, 7.0])
    y = np.array([0.5, 1.0, 2.0, 2.2, 2.1])
    sampled = permutation_p(x, y, permutations=20_000, seed=1)
    r = abs(pearson(x, y))
    every = [abs(pearson(np.array(o), y)) >= r - 1e-12 for o in itertools.permutations(x)]
    assert sampled == pytest.approx(np.mean(every), abs=0.01)


def test_permutation_p_is_uniform_when_nothing_is_there():
    rng = np.random.default_rng(7)
    p = [
        permutation_p(rng.normal(size=15), rng.normal(size=15), permutations=199, seed=i)
        for i in range(400)
    ]
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(p) <= 0.05) < 0.085


def test_family_interval_is_wider_than_a_model_bootstrap_when_families_are_clones():
    rng = np.random.default_rng(1)
    centre = rng.normal(size=(8, 2))
    family = np.repeat(np.arange(8), 10)
    points = centre[family] + 0.01 * rng.normal(size=(80, 2))
    x, y = points.T
    wide = family_bootstrap(x, y, family.astype(str).tolist(), bootstraps=800, seed=0)
    each = family_bootstrap(x, y, [str(i) for i in range(80)], bootstraps=800, seed=0)
    assert wide[1] - wide[0] > 2 * (each[1] - each[0])


def test_family_interval_covers_a_planted_r_about_as_often_as_it_says():
    rng = np.random.default_rng(11)
    covered = []
    for i in range(150):
        family = np.repeat(np.arange(25), 3)
        shared = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=25)[family]
        own = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=75)
        x, y = (shared + own).T
        low, high, _ = family_bootstrap(x, y, family.astype(str).tolist(), bootstraps=200, seed=i)
        covered.append(low <= 0.6 <= high)
    assert 0.85 <= np.mean(covered) <= 1.0


def test_family_bootstrap_agrees_with_drawing_rows_by_hand():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=12), rng.normal(size=12) + 5
    family = np.repeat(["a", "b", "c", "d"], 3)
    low, high, used = family_bootstrap(x, y, family.tolist(), bootstraps=4000, seed=2)
    r = []
    for _ in range(4000):
        rows = np.concatenate(
            [np.flatnonzero(family == f) for f in rng.choice(["a", "b", "c", "d"], 4)]
        )
        r.append(stats.pearsonr(x[rows], y[rows]).statistic)
    assert used == 4000
    np.testing.assert_allclose([low, high], np.quantile(r, [0.025, 0.975]), atol=0.06)


def test_two_families_give_no_family_interval():
    low, high, used = family_bootstrap([1, 2, 3], [1, 3, 2], list("aab"), bootstraps=9, seed=0)
    assert math.isnan(low) and math.isnan(high) and used == 0


def test_within_family_r_sees_through_simpsons_paradox():
    family = np.repeat(["a", "b", "c"], 5)
    shift = np.repeat([0.0, 10.0, 20.0], 5)
    inside = np.tile(np.arange(5.0), 3)
    x, y = shift + inside, shift - inside
    assert pearson(x, y) > 0.8
    assert within_family(x, y, family.tolist()) == pytest.approx(-1)


def test_leaving_one_family_out_shows_the_family_that_makes_the_correlation():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=12), rng.normal(size=12)
    x[8:], y[8:] = x[8:] + 30, y[8:] + 30
    family = np.repeat(["a", "b", "c"], 4).tolist()
    low, high = leave_one_family_out(x, y, family)
    assert high > 0.95
    assert low < 0.8


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1.0, 1e30])
def test_units_and_large_means_make_nothing_constant(unit):
    rng = np.random.default_rng(0)
    x = rng.normal(size=12)
    y, z = x + rng.normal(size=12), rng.normal(size=12)
    family = [f"f{k // 2}" for k in range(12)]
    expected = pearson(x, y), partial_pearson(x, y, z), within_family(x, y, family)
    for mean in (0.0, 1e4):
        a, b, c = (unit * (v + mean) for v in (x, y, z))
        found = pearson(a, b), partial_pearson(a, b, c), within_family(a, b, family)
        np.testing.assert_allclose(found, expected, atol=1e-8)
        intervals = [family_bootstrap(one, two, family, bootstraps=200, seed=0)[:2]
                     for one, two in ((x, y), (a, b))]  # fmt: skip
        np.testing.assert_allclose(*intervals, atol=1e-8)
    same = unit * np.array([0.1 + 0.2, 0.3, 0.3] * 4)
    assert math.isnan(pearson(same, y)) and math.isnan(within_family(same + unit, y, family))


def test_resamples_without_the_outlier_have_the_correlation_of_the_rest():
    rng = np.random.default_rng(1)
    x = np.append(rng.normal(size=8), 1e7)
    y = np.append(x[:8] + rng.normal(size=8), -1e7)
    weights = np.vstack([[*[1.0] * 8, 0.0], [2.0, *[0.0] * 8], [1.0] * 9])
    found = weighted_pearson(x, y, weights)
    np.testing.assert_allclose(found[0], np.corrcoef(x[:8], y[:8])[0, 1], rtol=1e-9)
    assert math.isnan(found[1]) and found[2] < -0.99
