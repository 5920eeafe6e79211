"""The mixed model, and the effect of models that saw the stimuli."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from convergent.statistics import contamination_effect, mixed_model, pearson
from convergent.statistics.mixed import _by_profile, _profile
from families import SIZES, labels, pairs


def data(seed, sizes=(6,) * 12, icc=0.5, effect=0.5):
    x, y, families = pairs(np.random.default_rng(seed), list(sizes), icc)
    size = 0.6 * x[0] + np.random.default_rng([seed, 1]).normal(size=x.shape[1])
    return y[0] + effect * x[0], {"performance": x[0], "log10(parameters)": 8 + size}, families


@pytest.mark.parametrize("seed", range(3))
def test_estimates_errors_and_share_are_statsmodels(seed):
    y, effects, families = data(seed)
    found = mixed_model(y, effects, labels(families), draws=19, seed=0)
    design = sm.add_constant(np.stack(list(effects.values()), axis=1))
    expected = sm.MixedLM(y, design, groups=families.member).fit(reml=True)
    assert found.solver == "statsmodels"
    for i, effect in enumerate(found.effects, start=1):
        assert effect.estimate == pytest.approx(expected.fe_params[i], rel=1e-3)
        assert effect.standard_error == pytest.approx(expected.bse_fe[i], rel=1e-3)
    between = float(expected.cov_re[0, 0])
    assert found.icc == pytest.approx(between / (between + expected.scale), abs=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_grid_that_the_bootstrap_uses_agrees_with_statsmodels(seed):
    y, effects, families = data(seed)
    design = np.stack([np.ones(y.size), *effects.values()], axis=1)
    expected = sm.MixedLM(y, design, groups=families.member).fit(reml=True)
    t = _profile(design, y[None], families)[1][0]
    assert t == pytest.approx(expected.tvalues[2], abs=0.05)
    grid = _by_profile(y, design, families)
    assert grid.estimate / grid.error == pytest.approx(expected.tvalues[:3], abs=0.06)


def test_where_statsmodels_stops_at_a_variance_of_zero_the_grid_is_taken():
    y, effects, families = data(1)
    z = (y - y.mean()) / y.std()
    columns = [(v - v.mean()) / v.std() for v in effects.values()]
    design = np.stack([np.ones(y.size), *columns], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = sm.MixedLM(z, design, groups=families.member)
        stopped, best = model.fit(method=["lbfgs"]), model.fit()
    assert stopped.converged and stopped.cov_re[0, 0] < 1e-6
    assert best.cov_re[0, 0] > 0.1
    found = mixed_model(y, effects, labels(families), draws=19, seed=0)
    assert found.icc > 0.2


def test_without_relatives_it_is_least_squares():
    y, effects, families = data(0, sizes=[1] * 40)
    found = mixed_model(y, effects, labels(families), draws=4999, seed=0)
    design = sm.add_constant(np.stack(list(effects.values()), axis=1))
    expected = sm.OLS(y, design).fit()
    for i, effect in enumerate(found.effects, start=1):
        assert effect.estimate == pytest.approx(expected.params[i])
        assert effect.p == pytest.approx(expected.pvalues[i], abs=0.025)
        ends = expected.conf_int(0.05)[i]
        assert (effect.low, effect.high) == pytest.approx(tuple(ends), abs=0.03)


def test_a_z_test_rejects_too_often_with_few_families_and_the_bootstrap_does_not():
    x, y, families = pairs(np.random.default_rng(1), [3, 2, 2, 2, 1], 0.8, count=150)
    z, p = [], []
    for a, b in zip(x, y, strict=True):
        design = np.stack([np.ones(a.size), a], axis=1)
        z.append(2 * stats.norm.sf(abs(_profile(design, b[None], families)[1][0])))
        found = mixed_model(b, {"performance": a}, labels(families), draws=199, seed=0)
        p.append(found.effects[0].p)
    assert np.mean(np.array(z) <= 0.05) > 0.1
    assert np.mean(np.array(p) <= 0.05) <= 0.1


def test_p_and_interval_agree_about_zero_and_units_come_back():
    y, effects, families = data(2, effect=0.2)
    found = mixed_model(y, effects, labels(families), draws=299, seed=0)
    scaled = {name: 10 * values for name, values in effects.items()}
    other = mixed_model(3 * y, scaled, labels(families), draws=299, seed=0)
    for one, two in zip(found.effects, other.effects, strict=True):
        assert (one.p <= 0.05) == (one.low * one.high > 0)
        assert two.estimate == pytest.approx(0.3 * one.estimate, rel=1e-3)
        assert two.standardised == pytest.approx(one.standardised, rel=1e-3)


@pytest.mark.parametrize(
    ("sizes", "change", "reason"),
    [
        ([5, 5, 5], {}, "3 families"),
        ([2, 1, 1, 1], {}, "too few for 2 effects"),
        ([3] * 6, {"log10(parameters)": np.full(18, 8.0)}, "same for every model"),
    ],
)
def test_what_cannot_be_fitted_says_why(sizes, change, reason):
    y, effects, families = data(3, sizes=sizes)
    found = mixed_model(y, effects | change, labels(families), draws=19, seed=0)
    assert found.effects == () and reason in found.reason


def test_effects_that_say_the_same_are_not_told_apart():
    y, effects, families = data(4)
    effects["width"] = 2 * effects["performance"] + 1
    found = mixed_model(y, effects, labels(families), draws=19, seed=0)
    assert "cannot be told apart" in found.reason


def contaminated(seed, shift):
    x, y, families = pairs(np.random.default_rng(seed), SIZES, 0.5, r=0.5)
    tagged = np.random.default_rng([seed, 2]).random(families.models) < 0.25
    # models that saw the stimuli align far better, and happen to perform far better too
    return x[0] + shift * tagged, y[0] + shift * tagged, labels(families), tagged


def test_tagged_models_that_make_the_correlation_are_found():
    x, y, family, tagged = contaminated(0, 4.0)
    found = contamination_effect(x, y, family, tagged, draws=499, seed=0)
    assert found.n_tagged == tagged.sum()
    assert found.r == pytest.approx(pearson(x, y))
    assert found.r_without == pytest.approx(pearson(x[~tagged], y[~tagged]))
    assert found.difference > 0.2 and found.p < 0.05 and found.low > 0


def test_tags_that_mean_nothing_change_nothing_that_can_be_told():
    p = []
    for seed in range(60):
        x, y, family, tagged = contaminated(seed, 0.0)
        found = contamination_effect(x, y, family, tagged, draws=199, seed=0)
        assert found.low <= found.difference <= found.high
        assert (found.p <= 0.05) == (found.low > 0 or found.high < 0)
        p.append(found.p)
    assert np.mean(np.array(p) <= 0.05) < 0.15


def test_no_tag_and_too_few_left_have_reasons():
    x, y, family, _ = contaminated(0, 0.0)
    none = contamination_effect(x, y, family, np.zeros(43, bool), draws=9, seed=0)
    assert none.difference == 0 and "no model is tagged" in none.reason
    few = contamination_effect(x, y, family, np.arange(43) > 1, draws=9, seed=0)
    assert math.isnan(few.low) and "left without" in few.reason
