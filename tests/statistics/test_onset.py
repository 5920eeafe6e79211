"""Onsets: planted places are found, and curves that do not rise have none."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression

from convergent.errors import DataError
from convergent.statistics import Curve, kind, rises, scatter
from convergent.statistics.onsets import clear_range, monotone

X = np.linspace(-0.5, 5.2, 34)


def logistic(place, middle=3.0, slope=0.4):
    return 1 / (1 + np.exp(-(place - middle) / slope))


@pytest.mark.parametrize(("share", "place"), [(0.1, 3 - 0.4 * math.log(9)), (0.5, 3.0)])
def test_the_onset_of_a_known_course_is_where_it_covers_the_share(share, place):
    noisy = logistic(X) + 1e-4 * np.random.default_rng(0).standard_normal(X.size)
    found = Curve.of(X, noisy).onset(share)
    assert found.position == pytest.approx(place, abs=0.03)
    assert found.before <= found.position <= found.after
    assert found.after - found.before == pytest.approx(X[1] - X[0])


def test_onsets_do_not_change_with_the_unit_of_the_measure():
    y = logistic(X) + 0.02 * np.random.default_rng(1).standard_normal(X.size)
    a, b = Curve.of(X, y).onset(0.5), Curve.of(X, 1000 * y - 7).onset(0.5)
    assert a.position == pytest.approx(b.position)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40))
def test_the_monotone_fit_is_that_of_scikit_learn(values):
    y = np.array(values)
    np.testing.assert_allclose(monotone(y), isotonic_regression(y), atol=1e-9)


def test_a_curve_of_noise_has_no_onset_in_99_of_100():
    rng = np.random.default_rng(2)
    found = [Curve.of(X, rng.standard_normal(X.size)).unclear for _ in range(300)]
    assert np.mean([bool(reason) for reason in found]) > 0.97
    assert "does not rise clearly" in found[0]
    # the naive way, any positive range of the fit, would accept nearly all
    fits = [monotone(rng.standard_normal(X.size)) for _ in range(300)]
    assert np.mean([fit[-1] > fit[0] for fit in fits]) > 0.9


def test_a_falling_curve_and_a_short_one_have_no_onset():
    assert Curve.of(X, -logistic(X)).onset(0.5).reason
    short = Curve.of([0, 1, 2, 3], [0, 0.1, 0.9, 1])
    assert short.onset(0.5).reason == "fewer than 5 checkpoints"
    assert math.isnan(short.onset(0.5).position)


def test_fewer_checkpoints_must_rise_more_clearly():
    assert clear_range(tuple(X[:6])) > clear_range(tuple(X)) > 3


def test_scatter_is_the_noise_of_a_checkpoint_whatever_the_course():
    rng = np.random.default_rng(3)
    found = [scatter(X, logistic(X) + 0.05 * rng.standard_normal(X.size)) for _ in range(200)]
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.05, rel=0.08)
    assert scatter(X, 2 * X + 1) == pytest.approx(0, abs=1e-7)
    assert math.isnan(scatter(X[:2], X[:2]))


@pytest.mark.parametrize(
    ("x", "y"), [([0, 1, 1], [0, 1, 2]), ([0, 1, 2], [0, 1]), ([0, 1, 2], [0, np.nan, 1])]
)
def test_repeated_places_lengths_and_nan_are_refused(x, y):
    with pytest.raises(DataError):
        Curve.of(x, y)


def test_order_of_the_checkpoints_does_not_matter():
    y = logistic(X) + 0.02 * np.random.default_rng(4).standard_normal(X.size)
    turned = Curve.of(X[::-1], y[::-1], y[None, ::-1])
    np.testing.assert_array_equal(turned.value, y)
    np.testing.assert_array_equal(turned.deviations[0], y)


@pytest.mark.parametrize(
    ("name", "up", "what"),
    [
        ("probe_logloss", False, "continuous"),
        ("bits_per_byte", False, "continuous"),
        ("lambada_openai_log_likelihood", True, "continuous"),
        ("lambada_openai_ppl", False, "exponential"),
        ("lambada_openai", True, "thresholded"),
        ("imagenet_top1", True, "thresholded"),
        ("unheard_of", True, "thresholded"),
    ],
)
def test_measures_have_a_direction_and_a_kind(name, up, what):
    assert (rises(name), kind(name)) == (up, what)
