"""Scores agree with scipy and scikit-learn; region means and layer choices are as defined."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import r2_score

from convergent.alignment import (
    choose_layers,
    mean_defined,
    pearson,
    r2,
    region_means,
    region_medians,
)
from convergent.errors import DataError

RNG = np.random.default_rng(0)


def test_pearson_and_r2_equal_scipy_and_sklearn():
    p, y = RNG.normal(size=(2, 30, 5)) + 3
    y += p
    expected = [pearsonr(p[:, t], y[:, t]).statistic for t in range(5)]
    np.testing.assert_allclose(pearson(p, y), expected, atol=1e-12)
    np.testing.assert_allclose(pearson(p.T, y.T, axis=1), expected, atol=1e-12)
    np.testing.assert_allclose(r2(p, y), r2_score(y, p, multioutput="raw_values"), atol=1e-12)


def test_pearson_survives_tiny_predictions_and_keeps_the_sign():
    y = RNG.normal(size=20)
    assert pearson(-1e-200 * y, y) == pytest.approx(-1)


def test_constant_response_is_undefined_and_constant_prediction_scores_zero():
    y, flat = RNG.normal(size=20), np.full(20, 0.1)
    assert np.isnan(pearson(y, flat)) and np.isnan(r2(y, flat))
    assert pearson(flat, y) == 0
    assert np.isnan(pearson(np.where(y > 1, np.nan, y), y))
    with pytest.raises(DataError, match="differ in shape"):
        pearson(y, y[:10])


def test_region_means_leave_out_nan_and_targets_without_region():
    values = np.array([[1.0, 3.0, np.nan, 10.0, np.nan, 99.0], [2.0, 4.0, 6.0, 8.0, 5.0, 99.0]])
    found = region_means(values[None], [0, 0, 0, 1, 2, -1], 4)
    expected = [[[2, 10, np.nan, np.nan], [4, 8, 5, np.nan]]]
    np.testing.assert_array_equal(found, expected)
    for index in ([0, 1], [0, 0, 0, 1, 2, 4], [0, 0, 0, 1, 2, -2]):
        with pytest.raises(DataError, match="region index"):
            region_means(values, index, 4)


def test_mean_defined_is_nan_only_without_values():
    np.testing.assert_array_equal(mean_defined([[1, np.nan], [3, np.nan]]), np.array([2.0, np.nan]))


def test_layer_is_chosen_per_fold_by_the_inner_score_and_scored_by_the_outer():
    inner = np.array([[[0.1], [0.9]], [[0.5], [0.2]], [[0.5], [np.nan]]])
    outer = np.array([[[0.0], [0.3]], [[0.1], [0.7]], [[0.9], [0.9]]])
    found = choose_layers(inner, outer)
    np.testing.assert_array_equal(found.layer, [[1], [0]])
    np.testing.assert_allclose(found.score, [0.2])


def test_leading_axes_choose_independently():
    inner, outer = RNG.normal(size=(2, 6, 4, 3, 5))
    together = choose_layers(inner, outer)
    for p in range(6):
        alone = choose_layers(inner[p], outer[p])
        np.testing.assert_array_equal(together.layer[p], alone.layer)
        np.testing.assert_array_equal(together.score[p], alone.score)


def test_undefined_scores_never_win_and_drop_out_of_the_mean():
    inner, outer = np.ones((2, 2, 3)), np.ones((2, 2, 3))
    inner[0, 0, 0] = np.nan
    inner[:, :, 1] = np.nan
    outer[0, 1, 2] = np.nan
    found = choose_layers(inner, outer)
    np.testing.assert_array_equal(found.layer, [[1, -1, 0], [0, -1, 0]])
    np.testing.assert_array_equal(found.score, [1, np.nan, 1])
    with pytest.raises(DataError, match="do not match"):
        choose_layers(inner, outer[:1])


def test_region_medians_leave_out_undefined_targets_and_targets_outside():
    values = np.array([[1.0, np.nan, 3.0, 10.0, 5.0, 7.0], [np.nan, np.nan, 2.0, 4.0, 9.0, 1.0]])
    index = [0, 0, 0, 1, -1, 1]
    found = region_medians(values, index, 3)
    np.testing.assert_array_equal(found, [[2.0, 8.5, np.nan], [2.0, 2.5, np.nan]])
    assert np.isnan(region_medians(np.full(2, np.nan), [0, 0], 1)).all()
    with pytest.raises(DataError, match="region"):
        region_medians(values, [0, 1], 3)
