"""Ridge follows from the data, not from how they are stored, scaled, shifted or multiplied."""

import numpy as np
import pytest
import torch

from convergent.alignment import (
    fit_banded,
    fit_ridge,
    fit_unique,
    inner_item_splits,
    item_orders,
    item_splits,
    pearson,
    r2,
    ratio_grid,
)
from convergent.alignment.constant import is_constant, mean_of
from convergent.alignment.ridge.folds import weighted_r

N = 36
SPLITS = item_splits(N, folds=3, seed=0)
ALPHAS = [0.1, 1.0, 10.0, 100.0]
SELECTIONS = ["gcv", "loo", "folds"]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 5))
Y = X @ RNG.normal(size=(5, 3)) + RNG.normal(size=(N, 3))


def inner(train):
    return inner_item_splits(train, N, folds=3, seed=0)


def awkward():
    """Targets: three plain, constant, constant in one fold's training or test rows, a spike."""
    one, spike = np.full((N, 4), 0.1), np.zeros((N, 1))
    one[:, 0] = 0.1
    one[SPLITS[0].test, 1] = 0.7
    one[:, 2] = Y[:, 0]
    one[SPLITS[1].test, 2] = 0.3
    one[:, 3] = -0.0
    spike[int(SPLITS[2].test[0])] = 1.0
    return np.hstack([Y, one, spike])


def fit(x, y, selection="gcv", splits=SPLITS, **options):
    return fit_ridge(
        x, y, splits, design="items", alphas=ALPHAS, selection=selection, inner_splits=inner,
        **options,
    )  # fmt: skip


def assert_same(found, expected, atol=1e-7):
    for name in ("fold_r", "fold_r2", "inner_r", "alpha", "r"):
        np.testing.assert_allclose(
            getattr(found, name), getattr(expected, name), atol=atol, err_msg=name
        )


@pytest.mark.parametrize("selection", SELECTIONS)
def test_scale_order_and_threads_change_no_score_and_no_nan(selection):
    x, y = X, awkward()
    expected = fit(x, y, selection)
    assert np.isnan(expected.fold_r).tolist() == [
        [False, False, False, True, True, False, True, True],
        [False, False, False, True, True, True, True, True],
        [False, False, False, True, True, False, True, False],
    ]
    for factor in (1e-30, 1e30, -1.0, 1e-300):
        assert_same(fit(x, y * factor, selection), expected)
        assert_same(fit(x * factor, y, selection), expected)
    assert_same(fit(x[:, ::-1], y, selection), expected)
    backwards = fit(x, y[:, ::-1], selection)
    np.testing.assert_allclose(backwards.fold_r[:, ::-1], expected.fold_r, atol=1e-9)
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert_same(fit(x, y, selection), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("side", ["features", "targets"])
def test_a_large_mean_changes_no_score(selection, side):
    x, y = X.round(3), awkward().round(3)
    for offset in (1e3, 1e6, 1e9):
        if side == "features":
            kept = (x + offset) - offset
            assert_same(fit(x + offset, y, selection), fit(kept, y, selection), 1e-6)
        else:
            kept = (y + offset) - offset
            assert_same(fit(x, y + offset, selection), fit(x, kept, selection), 1e-6)


@pytest.mark.parametrize("n", [1000, 20000])
@pytest.mark.parametrize("mean", [0, 300, 1e4, 1e6])
def test_single_precision_targets_with_a_large_mean_are_predicted(n, mean):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 10))
    y = x @ rng.standard_normal((10, 1)) / 3 + 0.5 * rng.standard_normal((n, 1))
    splits = item_splits(n, folds=3, seed=0)
    shifted = (y + mean).astype(np.float32)
    found = fit_ridge(x, shifted, splits, design="items", alphas=ALPHAS, dtype="float32")
    kept = shifted.astype(np.float64) - mean  # what single precision leaves of it
    expected = fit_ridge(x, kept, splits, design="items", alphas=ALPHAS)
    np.testing.assert_allclose(found.fold_r, expected.fold_r, atol=1e-5)
    assert found.r > 0.5


def test_single_precision_integers_and_subnormal_numbers_are_targets_like_others():
    y = awkward()
    single = y.astype(np.float32)
    assert_same(fit(X, single), fit(X, single.astype(float)), 1e-5)
    for factor in (1e-30, 1e-36, 1e30):
        small = single * np.float32(factor)
        assert_same(fit(X, small), fit(X, small.astype(float)), 1e-5)
    found, expected = fit(X, np.round(y * 100) * 5e-324), fit(X, np.round(y * 100))
    # their mean has no digits beyond the last one of the numbers, which r2 sees
    np.testing.assert_allclose(found.fold_r, expected.fold_r, atol=1e-6)
    np.testing.assert_allclose(found.fold_r2[:, :3], expected.fold_r2[:, :3], atol=0.01)
    whole = np.round(10 * y).astype(np.int16)
    assert_same(fit(X, whole), fit(X, whole.astype(float)), 0)


def test_a_target_that_differs_in_one_sample_by_the_last_digit_is_no_constant_in_single_precision():
    y = np.full((N, 1), 1.0, dtype=np.float32)
    y[SPLITS[0].train[3]] = np.nextafter(np.float32(1), np.float32(2))
    wide = np.zeros((N, 1))
    wide[SPLITS[0].train[3]] = 1.0
    found, expected = fit(X, y), fit(X, wide)
    np.testing.assert_allclose(found.fold_r, expected.fold_r, atol=1e-6)
    np.testing.assert_allclose(found.inner_r, expected.inner_r, atol=1e-6)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("wide", [False, True])
def test_held_out_samples_with_the_same_features_are_predicted_with_r_0(selection, wide):
    x = np.hstack([X] * 12) + RNG.normal(size=(N, 60)) if wide else X.copy()
    x[SPLITS[0].test] = x[SPLITS[0].test[0]]
    for options in ({}, {"standardize": False}, {"components": 3}):
        assert (fit(x, Y, selection, **options).fold_r[0] == 0).all()
    found = fit_unique(
        x, X[:, :1] * 0, Y, SPLITS, inner_splits=inner, alphas=ALPHAS, nuisance_alphas=ALPHAS
    )
    assert (found.partial_r[0] == 0).all()
    spaces = {"one": x[:, :2], "two": x[:, 2:]}
    banded = fit_banded(
        spaces, Y, SPLITS, inner_splits=inner, alphas=ALPHAS, ratios=ratio_grid(2, 3)
    )
    assert (banded.fold_r[0] == 0).all()


def test_the_null_of_a_constant_target_is_undefined():
    orders = item_orders(N, permutations=3, seed=0)
    found = fit(X, awkward() + 1e6, permutations=orders)
    assert np.isnan(found.null_fold_r[:, :, [3, 6]]).all()
    assert np.isfinite(found.null_fold_r[:, :, :3]).all()


@pytest.mark.parametrize("value", [0.1, 1e6 + 0.1, 1e-300])
def test_banded_and_unique_agree_with_ridge_on_what_is_constant(value):
    y = np.column_stack([Y, np.full(N, value)])
    unique = fit_unique(
        X[:, 1:], X[:, :1], y, SPLITS, inner_splits=inner, alphas=ALPHAS, nuisance_alphas=ALPHAS
    )
    for scores in (unique.unique, unique.inner_unique, unique.partial_r):
        assert np.isnan(scores[:, 3]).all() and np.isfinite(scores[:, :3]).all()
    banded = fit_banded(
        {"one": X[:, :2], "two": X[:, 2:]},
        y,
        SPLITS,
        inner_splits=inner,
        alphas=ALPHAS,
        ratios=ratio_grid(2, 3),
    )
    assert np.isnan(banded.fold_r[:, 3]).all() and np.isfinite(banded.fold_r[:, :3]).all()
    assert np.isnan(banded.log10_penalty[:, :, 3]).all()


def test_resamples_are_judged_by_the_samples_drawn():
    truth = torch.tensor(
        [[0.1, 0.1, 0.1, 0.7, 0.2], [1e9, 1e9 + 1, 1e9 + 3, 1e9, 2e15]], dtype=torch.float64
    )
    prediction = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]] * 2, dtype=torch.float64)
    weights = torch.tensor([[1, 1, 2, 0, 0], [1, 1, 0, 2, 0], [0, 0, 0, 0, 4]]).double()
    found = weighted_r(prediction, truth, weights).numpy()
    assert np.isnan(found[0, 0]) and np.isnan(found[2]).all()
    for k, drawn in enumerate([[0, 1, 2, 2], [0, 1, 3, 3]]):
        expected = np.corrcoef(prediction[1, drawn], truth[1, drawn] - 1e9)[0, 1]
        assert found[k, 1] == pytest.approx(expected, abs=1e-9)


def test_scores_of_small_and_large_numbers():
    p, y = X[:, 0], X[:, 1]
    for factor in (1e-300, 1e-200, 1e150):
        assert pearson(p * factor, y * factor) == pytest.approx(pearson(p, y))
        assert r2(p * factor, y * factor) == pytest.approx(r2(p, y))


def test_the_rule_of_what_is_constant():
    tiny = 5e-324
    rows = [[0.0, -0.0], [0.1 * 3, 0.3], [1.0, 1.0 + 1e-13], [tiny, 0.0], [-1.0, 1.0]]
    rows = torch.tensor([*rows, [-1e308, 1e308]], dtype=torch.float64)
    assert is_constant(rows, dim=1).tolist() == [True, True, False, False, False, False]
    near = torch.tensor([1.0, 1.0000001], dtype=torch.float32)
    assert not is_constant(near) and not is_constant(near.double())
    assert float(mean_of(torch.full((7,), 0.1, dtype=torch.float64))) == 0.1
