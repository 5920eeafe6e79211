"""Scores against their null, and the noise ceiling's own rules."""

import warnings

import numpy as np
import pytest

from convergent.alignment.similarity import (
    calibrate,
    calibrate_maximum,
    largest_p,
    rsa_noise_ceiling,
)
from convergent.errors import ConfigError, DataError, NumericalError


def test_calibration_by_hand():
    found = calibrate([0.5, 0.2], [[0.1, 0.2], [0.3, 0.2], [0.2, 0.5]])
    np.testing.assert_allclose(found.null_mean, [0.2, 0.3])
    np.testing.assert_allclose(found.score, [0.3 / 0.8, -0.1 / 0.7])
    np.testing.assert_allclose(found.p, [1 / 4, 1.0])
    np.testing.assert_allclose(found.null_sd, [0.1, np.std([0.2, 0.2, 0.5], ddof=1)])


def test_a_null_that_equals_the_score_but_for_rounding_counts():
    assert calibrate(0.3, [0.3 - 1e-8, 0.1]).p == pytest.approx(2 / 3)


def test_undefined_scores_and_permutations_stay_out_without_a_warning():
    null = [[np.nan, 0.1, np.nan, 1.0], [0.4, 0.3, np.nan, 1.0]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = calibrate([0.2, np.nan, 0.5, 1.0], null)
    np.testing.assert_allclose(found.score, [-0.2 / 0.6, np.nan, np.nan, np.nan])
    np.testing.assert_allclose(found.p, [1.0, np.nan, np.nan, 1.0])
    np.testing.assert_allclose(found.null_sd, [np.nan, np.nan, np.nan, 0.0])


@pytest.mark.parametrize(("score", "null"), [([1.0, 2.0], [[1.0]]), ([1.0], np.empty((0, 1)))])
def test_a_null_that_does_not_fit_is_refused(score, null):
    with pytest.raises(DataError, match="null of shape"):
        calibrate(score, null)


def test_maximum_over_layers_is_taken_inside_each_permutation():
    scores = np.array([[0.1, np.nan], [0.4, np.nan], [np.nan, np.nan]])
    null = np.array([[[0.5, 0.1], [0.0, np.nan], [9.0, 0.2]], [[0.1, 0.1], [0.2, 0.1], [9.0, 0.2]]])
    found = calibrate_maximum(scores, null)
    np.testing.assert_allclose(found.null_mean, [0.35, np.nan])
    np.testing.assert_allclose(found.score, [0.05 / 0.65, np.nan])
    np.testing.assert_allclose(found.p, [2 / 3, np.nan])
    with pytest.raises(DataError, match="maximum"):
        calibrate_maximum(scores, null[:, :2])


def test_ceiling_of_equal_rdms_is_1_and_of_an_undefined_one_is_not_a_number():
    rdm = np.random.default_rng(0).uniform(size=(1, 15))
    for comparison in ("spearman", "pearson", "cosine", "whitened"):
        np.testing.assert_allclose(rsa_noise_ceiling(np.repeat(rdm, 3, 0), comparison), 1)
    flat = np.concatenate([rdm, np.ones((1, 15))])
    assert np.isnan(rsa_noise_ceiling(flat, "pearson")).all()
    assert np.isnan(rsa_noise_ceiling(flat, "spearman")).all()


def test_ceiling_refuses_what_it_cannot_use():
    rdms = np.random.default_rng(0).uniform(size=(3, 15))
    with pytest.raises(ConfigError, match="did you mean 'spearman'"):
        rsa_noise_ceiling(rdms, "spearmann")
    with pytest.raises(DataError, match="two subjects"):
        rsa_noise_ceiling(rdms[:1], "pearson")
    with pytest.raises(DataError, match="14 pairs"):
        rsa_noise_ceiling(rdms[:, :14], "whitened")
    rdms[0, 0] = np.nan
    with pytest.raises(NumericalError):
        rsa_noise_ceiling(rdms, "pearson")


def test_the_largest_region_corrects_for_the_number_of_regions():
    rng = np.random.default_rng(0)
    largest = alone = 0
    spread = 10 ** rng.uniform(-1, 1, 40)  # chance scatters regions unlike
    for _ in range(300):
        every = spread * (rng.standard_normal((100, 40)) + rng.standard_normal((100, 1)))
        largest += bool((largest_p(every[0], every[1:]) < 0.05).any())
        alone += bool((calibrate(every[0], every[1:]).p < 0.05).any())
    assert 0.02 < largest / 300 < 0.085
    assert alone / 300 > 0.3


def test_the_largest_region_finds_the_weak_one_of_little_scatter():
    rng = np.random.default_rng(0)
    null = rng.standard_normal((199, 3)) * [1.0, 0.01, 0.01]
    p = largest_p([0.0, 0.06, 0.0], null)
    assert p[1] < 0.05
    assert p[0] > 0.05
    assert np.isnan(largest_p([np.nan, 1.0], np.array([[0.0, 1.0], [1.0, 1.0]]))).all()
    with pytest.raises(DataError, match="one or more permutations"):
        largest_p([1.0], np.empty((0, 1)))
