"""Lags: none is found where there is none, and a planted one is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from convergent.statistics import Curve, Pair, cross_correlation_lag, granger, leads

X = np.linspace(-0.5, 5.2, 34)


def logistic(middle, x=X):
    return 1 / (1 + np.exp(-(x - middle) / 0.5))


def pair(rng, *, lead=0.0, noise=(0.02, 0.1), name="run", through=None, x=X):
    ability = logistic(3.2 + lead, x)
    a = logistic(3.2, x) + noise[0] * rng.standard_normal(x.size)
    score = ability if through is None else through(ability)
    p = score + noise[1] * rng.standard_normal(x.size)
    return Pair(name, Curve.of(x, a), Curve.of(x, p))


def accuracy(ability):
    return stats.norm.cdf((ability - 0.75) / 0.08)


def test_unequal_noise_without_a_lead_is_not_taken_for_one():
    """The guard; Granger and cross-correlation beside it fail."""
    rng = np.random.default_rng(0)
    pairs = [pair(rng) for _ in range(120)]
    guarded = [leads([p], shares=(0.5,), draws=99, seed=k)[0].p for k, p in enumerate(pairs)]
    assert np.mean(np.array(guarded) <= 0.05) <= 0.1
    naive = [granger(p.alignment.value, p.performance.value) for p in pairs]
    assert np.mean(np.array(naive) <= 0.05) > 0.4
    shifts = [cross_correlation_lag(p.alignment.value, p.performance.value) for p in pairs]
    assert np.mean(np.array(shifts) > 0) > 0.2


def test_a_threshold_alone_looks_like_a_lead_and_the_continuous_measure_does_not():
    rng = np.random.default_rng(1)
    noise = (0.02, 0.02)
    for through, rejected in ((accuracy, 30), (None, None)):
        found = [
            leads([pair(rng, noise=noise, through=through)], shares=(0.5,), draws=99, seed=k)[0].p
            for k in range(30)
        ]
        count = int(np.sum(np.array(found) <= 0.05))
        assert count == rejected if rejected else count <= 5


@pytest.mark.parametrize("lead", [0.7, -0.7])
def test_a_planted_lead_is_found_with_its_sign_and_size(lead):
    rng = np.random.default_rng(2)
    pairs = [pair(rng, lead=lead, name=f"m{k}") for k in range(4)]
    for found in leads(pairs, draws=199)[1:2]:
        assert found.p <= 0.02
        assert found.low < lead < found.high
        assert found.lag == pytest.approx(lead, abs=0.25)
        assert not found.null_low < found.lag < found.null_high
        assert found.lags.shape == (4,)


def test_seeds_of_one_model_count_as_one_model_in_the_interval():
    rng = np.random.default_rng(3)
    x = X
    clear = [pair(rng, lead=0.0, noise=(0.01, 0.01), name="a1", x=x)]
    moved = [pair(rng, lead=0.8, noise=(0.01, 0.01), name=f"b{k}", x=x) for k in range(3)]
    seeds = [Pair(p.name, p.alignment, p.performance, run="b") for p in moved]
    (apart,) = leads(clear + moved, shares=(0.5,), draws=199)
    (together,) = leads(clear + seeds, shares=(0.5,), draws=199)
    assert together.high - together.low > apart.high - apart.low
    assert together.lag == apart.lag


def test_noise_known_by_resampling_widens_the_null():
    rng = np.random.default_rng(4)
    plain = pair(rng, noise=(0.02, 0.02))
    bend = 0.1 * rng.standard_normal((100, 1)) * np.sin(np.pi * logistic(3.2))
    known = Pair("run", Curve.of(X, plain.alignment.value, bend), plain.performance)
    (narrow,) = leads([plain], shares=(0.5,), draws=199)
    (wide,) = leads([known], shares=(0.5,), draws=199)
    assert wide.null_high - wide.null_low > 1.5 * (narrow.null_high - narrow.null_low)
    assert wide.lag == narrow.lag


def test_a_constant_offset_of_every_checkpoint_is_no_noise_of_the_onset():
    rng = np.random.default_rng(5)
    plain = pair(rng, noise=(0.02, 0.02))
    level = np.repeat(0.5 * rng.standard_normal((100, 1)), X.size, axis=1)
    (narrow,) = leads([plain], shares=(0.5,), draws=99)
    (same,) = leads(
        [Pair("run", Curve.of(X, plain.alignment.value, level), plain.performance)],
        shares=(0.5,), draws=99,
    )  # fmt: skip
    assert same.null_high - same.null_low < 1.5 * (narrow.null_high - narrow.null_low)


def test_onsets_between_the_same_checkpoints_are_not_resolved():
    x = np.array([-0.5, 0, 1, 2.5, 4, 4.5, 5])
    y = np.array([0, 0.01, 0.02, 0.1, 0.9, 0.98, 1])
    a = Curve.of(x, y)
    b = Curve.of(x, y * [1, 1, 1, 3, 1, 1, 1])
    (found,) = leads([Pair("run", a, b)], shares=(0.5,), draws=20)
    assert found.lag != 0 and found.resolved == 0
    late = Curve.of(x, [0, 0.01, 0.02, 0.05, 0.1, 0.2, 1])
    (apart,) = leads([Pair("run", a, late)], shares=(0.5,), draws=20)
    assert apart.resolved == 1


def test_curves_that_do_not_rise_give_no_lag_and_say_so():
    flat = Curve.of(X, np.random.default_rng(6).standard_normal(X.size))
    one = Pair("run", Curve.of(X, logistic(3) + 0), flat)
    assert one.unclear.startswith("performance: does not rise clearly")
    assert all(np.isnan(found.lag) for found in leads([one], draws=20))


def test_the_same_seed_gives_the_same_answer():
    pairs = [pair(np.random.default_rng(7))]
    assert leads(pairs, draws=50, seed=1)[1].p == leads(pairs, draws=50, seed=1)[1].p


def test_granger_agrees_with_statsmodels():
    from statsmodels.tsa.stattools import grangercausalitytests

    rng = np.random.default_rng(8)
    a = np.cumsum(rng.standard_normal(40))
    p = np.r_[0, 0.5 * a[:-1]] + rng.standard_normal(40)
    theirs = grangercausalitytests(np.column_stack([p, a]), [1])[1][0]["ssr_ftest"][1]
    assert granger(a, p) == pytest.approx(theirs)
    assert np.isnan(granger(a[:4], p[:4])) and np.isnan(granger(a, np.ones(40)))


def test_cross_correlation_is_positive_where_performance_follows():
    a = np.zeros(20)
    a[5:] = 1
    assert cross_correlation_lag(a, np.roll(a, 3) * (np.arange(20) >= 3)) == 3
