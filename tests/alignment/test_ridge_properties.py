"""What must not change a fit, and what must not leak into it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group

from convergent.alignment import (
    Problem,
    alpha_grid,
    fit_ridge,
    fit_subjects,
    inner_story_splits,
    item_orders,
    item_splits,
    story_splits,
)

ALPHAS = alpha_grid(-1, 4, 6)
FEW = settings(max_examples=15, deadline=None)


def data(seed, n=30, p=5, targets=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * rng.uniform(0.5, 2, p)
    return x, x @ rng.normal(size=(p, targets)) + 2 * rng.normal(size=(n, targets))


def fit(x, y, ids=None, **options):
    splits = item_splits(len(x) if ids is None else ids, folds=3, seed=0)
    options = {"design": "items", "alphas": ALPHAS, "return_predictions": True, **options}
    return fit_ridge(x, y, splits, **options)


def same(one, other, tolerance=1e-8):
    np.testing.assert_array_equal(one.alpha, other.alpha)
    for name in ("fold_r", "fold_r2", "inner_r"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=tolerance)


@FEW
@given(st.integers(0, 10**6), st.integers(2, 50))
def test_rotating_and_shifting_features_changes_nothing(seed, p):
    x, y = data(seed, p=p)
    rotation = ortho_group.rvs(p, random_state=seed)
    offset = np.random.default_rng(seed).normal(size=p)
    plain = fit(x, y, standardize=False)
    same(plain, fit(x @ rotation + offset, y, standardize=False))


@FEW
@given(st.integers(0, 10**6), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_scaling_and_shifting_features_changes_nothing_when_standardised(seed, scale, offset):
    x, y = data(seed)
    same(fit(x, y), fit(x * scale + offset, y))


@FEW
@given(st.integers(0, 10**6))
def test_order_of_stimuli_changes_nothing_at_all(seed):
    x, y = data(seed)
    ids = np.array([f"image{k:03d}" for k in range(30)])
    order = np.random.default_rng(seed).permutation(30)
    one, other = fit(x, y, ids), fit(x[order], y[order], ids[order])
    same(one, other, tolerance=0)
    np.testing.assert_array_equal(other.predictions, one.predictions[order])


@FEW
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_target_batch_changes_nothing(seed, batch):
    x, y = data(seed, targets=7)
    same(fit(x, y), fit(x, y, target_batch=batch), tolerance=1e-12)


@FEW
@given(st.integers(0, 10**6), st.floats(1e-6, 1e6), st.floats(-1e3, 1e3))
def test_scaling_and_shifting_targets_changes_no_score(seed, scale, offset):
    x, y = data(seed)
    same(fit(x, y), fit(x, (y + offset) * scale))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_subjects_that_share_a_factorisation_get_their_own_scores_bit_for_bit(dtype):
    x, _ = data(0, n=40, p=60)
    rng = np.random.default_rng(1)
    ids = np.array([f"s{i:02d}" for i in range(40)])
    orders = item_orders(ids, permutations=3, seed=0)
    problems = [
        Problem(rng.normal(size=(40, targets)), orders, np.arange(targets) % 3)
        for targets in (7, 30, 12)
    ]
    options = {"design": "items", "alphas": ALPHAS, "dtype": dtype}
    splits = item_splits(ids, folds=4, seed=0)
    together = fit_subjects(x, problems, splits, **options)
    for problem, scores in zip(problems, together, strict=True):
        alone = fit_ridge(
            x,
            problem.responses,
            splits,
            permutations=orders,
            region_index=problem.region_index,
            **options,
        )
        for name in ("r", "r2", "fold_r", "inner_r", "alpha", "null_fold_r", "null_inner_r"):
            np.testing.assert_array_equal(getattr(scores, name), getattr(alone, name))


def story(x, y):
    splits = story_splits(len(x), folds=3, trim=2)
    return fit_ridge(
        x,
        y,
        splits,
        design="story",
        alphas=ALPHAS,
        inner_splits=lambda train: inner_story_splits(train, folds=3, trim=2),
        return_predictions=True,
    ), splits


@pytest.mark.parametrize("run", [lambda x, y: (fit(x, y), item_splits(48, folds=3, seed=0)), story])
def test_test_samples_touch_neither_alphas_nor_predictions_of_others(run):
    x, y = data(1, n=48)
    plain, splits = run(x, y)
    test = splits[0].test
    changed_x, changed_y = x.copy(), y.copy()
    changed_y[test] = 1e6 * np.random.default_rng(0).normal(size=(test.size, 4))
    changed_x[test[0]] += 1e6
    found, _ = run(changed_x, changed_y)
    np.testing.assert_array_equal(found.alpha[0], plain.alpha[0])
    np.testing.assert_array_equal(found.inner_r[0], plain.inner_r[0])
    np.testing.assert_allclose(found.predictions[test[1:]], plain.predictions[test[1:]], rtol=1e-8)
    assert not np.allclose(found.predictions[test[0]], plain.predictions[test[0]])


def test_shuffled_folds_leak_through_autocorrelation_and_contiguous_folds_do_not():
    rng = np.random.default_rng(0)
    n = 300
    noise = rng.normal(size=(n, 60))
    for volume in range(1, n):
        noise[volume] += 0.95 * noise[volume - 1]
    position = np.arange(n)[:, None]
    code = np.exp(-0.5 * ((position - np.linspace(0, n, 60)) / 5) ** 2)
    leaky = fit(code, noise)
    honest, _ = story(code, noise)
    assert leaky.r.mean() > 0.5
    assert abs(honest.r.mean()) < 0.1
