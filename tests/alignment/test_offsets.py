"""Large means, jumps and other units change no score, against ridge in two passes of float64."""

from __future__ import annotations

import numpy as np
import pytest

from convergent.alignment import (
    Problem,
    Split,
    fit_banded,
    fit_ridge,
    fit_unique,
    inner_story_splits,
    story_orders,
    story_splits,
)
from convergent.alignment.similarity import compare_layers

N, ALPHA = 240, 5.0
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 6))
SIGNAL = X @ RNG.normal(size=6)
PLAIN = SIGNAL / SIGNAL.std() + 0.7 * RNG.normal(size=N)
SPLITS = story_splits(N, folds=3, trim=2)


def inner(train):
    return inner_story_splits(train, folds=3, trim=2)


def jump(size, first):
    """A level that changes for good, such as a scanner's between two runs."""
    values = PLAIN.copy()
    values[first:] += size
    return values


def spike(size, place):
    values = PLAIN.copy()
    values[place] += size
    return values


TARGETS = {
    "plain": PLAIN,
    "mean of 1e3 sd": PLAIN + 1e3,
    "mean of 1e4 sd": PLAIN + 1e4,
    "mean of -1e6 sd": PLAIN - 1e6,
    "units of 1e-30": PLAIN * 1e-30,
    "units of 1e30": PLAIN * 1e30,
    "mean of 1e4 sd in units of 1e-30": (PLAIN + 1e4) * 1e-30,
    "jump of 1e3 sd": jump(1e3, 100),
    "jump of 1e5 sd": jump(1e5, 170),
    "spike of 1e6 sd": spike(1e6, 5),
}


def pearson(a, b):
    a, b = a - a.mean(), b - b.mean()
    return (
        (a / abs(a).max())
        @ (b / abs(b).max())
        / np.linalg.norm(a / abs(a).max())
        / (np.linalg.norm(b / abs(b).max()))
    )


def ridge(x, y, train, test):
    """Two passes of float64, features standardised already."""
    size = abs(y - y.mean()).max()
    centre, level = x[train].mean(axis=0), y[train].mean()
    a, b = x[train] - centre, (y[train] - level) / size
    w = np.linalg.solve(a.T @ a + ALPHA * np.eye(a.shape[1]), a.T @ b)
    return (x[test] - centre) @ w * size + level


def expected(y):
    """Held-out r of each fold, and mean inner r."""
    outer, inside = [], []
    for split in SPLITS:
        x = (X - X[split.train].mean(axis=0)) / X[split.train].std(axis=0)
        outer.append(pearson(ridge(x, y, split.train, split.test), y[split.test]))
        parts = inner(split.train)
        inside.append(np.mean([pearson(ridge(x, y, s.train, s.test), y[s.test]) for s in parts]))
    return np.array(outer), np.array(inside)


def rounded(kind):
    """All targets in float32 or float64, in units that keep small ones."""
    return np.stack([values.astype(kind) for values in TARGETS.values()], axis=1)


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ridge_and_its_inner_folds_are_those_of_two_passes(kind, dtype):
    y = rounded(kind)
    found = fit_ridge(X, y, SPLITS, design="story", alphas=[ALPHA], inner_splits=inner,
                      selection="folds", dtype=dtype)  # fmt: skip
    outer, inside = zip(*(expected(column.astype("f8")) for column in y.T), strict=True)
    for values, truth in ((found.fold_r, outer), (found.inner_r, inside)):
        worst = dict(zip(TARGETS, abs(values - np.array(truth).T).max(axis=0), strict=True))
        assert max(worst.values()) < (1e-3 if dtype == "float32" else 1e-6), worst


def test_the_null_of_the_order_as_it_is_is_the_score_also_of_hard_targets():
    y = rounded("f8")
    y = np.column_stack([y, np.where(np.arange(N) < 80, 3.0, PLAIN), np.full(N, 0.1)])
    y[80:160, -1] += 1e-17  # rounding alone: constant
    y[:80, -1] = 0.1 * (1 + 2**-50)
    orders = np.stack([np.arange(N), story_orders(N, permutations=1, minimum=9, seed=0)[0]])
    for dtype in ("float32", "float64"):
        found = fit_ridge(X, y, SPLITS, design="story", alphas=[ALPHA], inner_splits=inner,
                          selection="folds", dtype=dtype, permutations=orders)  # fmt: skip
        np.testing.assert_array_equal(found.null_fold_r[0], found.fold_r)
        np.testing.assert_array_equal(found.null_inner_r[0], found.inner_r)
        assert np.isnan(found.fold_r[:, -1]).all() and np.isnan(found.null_fold_r[..., -1]).all()
        assert np.isnan(found.inner_r[:, -1]).all()
        assert np.isnan(found.fold_r[0, -2]) and not np.isnan(found.fold_r[1:, -2]).any()


@pytest.mark.parametrize("n", [100, 20_000])
@pytest.mark.parametrize("selection", ["gcv", "loo"])
def test_no_number_of_samples_makes_a_large_mean_a_constant(n, selection):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 3))
    y = (x @ [1.0, -1.0, 0.5] + rng.normal(size=n))[:, None]
    train, test = np.arange(n // 2), np.arange(n // 2, n)
    splits = [Split(train, test)]
    options = {"design": "items", "alphas": [1e-3], "selection": selection, "dtype": "float32"}
    for mean in (1e2, 1e4, 1e6):
        given = (y + mean).astype("f4")
        found = fit_ridge(x, given, splits, **options)
        a = np.column_stack([np.ones(n), x])
        held = given[:, 0].astype("f8")
        w = np.linalg.lstsq(a[train], held[train] - mean, rcond=None)[0]
        np.testing.assert_allclose(found.fold_r[0, 0], pearson(a[test] @ w, held[test]), atol=1e-4)


def test_unique_variance_and_banded_ridge_do_not_depend_on_mean_or_units():
    y = rounded("f8")
    space = {"a": X[:, :3], "b": X[:, 3:]}
    options = {"inner_splits": inner, "alphas": [1.0, 10.0]}
    alone = fit_unique(X[:, :3], X[:, 3:], y, SPLITS, nuisance_alphas=[1.0, 10.0], **options)
    bands = fit_banded(space, y, SPLITS, ratios=[[0.5, 0.5], [0.9, 0.1]], **options)
    same = [k for k, name in enumerate(TARGETS) if "jump" not in name and "spike" not in name]
    for name in ("unique", "nuisance_r2", "joint_r2", "partial_r", "inner_unique", "alpha"):
        values = getattr(alone, name)[:, same]
        np.testing.assert_allclose(values, values[:, :1].repeat(len(same), 1), atol=1e-6)
    for name in ("fold_r", "fold_r2", "fold_alone_r2", "fold_split_r2", "alpha"):
        values = getattr(bands, name)[..., same]
        np.testing.assert_allclose(values, values[..., :1].repeat(len(same), -1), atol=1e-6)


def test_what_is_constant_but_for_rounding_has_no_score_of_any_kind():
    """Beside a mean, sums in another order differ in the last place."""
    y = np.stack([PLAIN, np.full(N, 1000.0)], axis=1)
    y[::2, 1] *= 1 + 2**-50
    options = {"inner_splits": inner, "alphas": [1.0]}
    alone = fit_unique(X[:, :3], X[:, 3:], y, SPLITS, nuisance_alphas=[1.0], **options)
    bands = fit_banded({"a": X[:, :3], "b": X[:, 3:]}, y, SPLITS, ratios=[[0.5, 0.5]], **options)
    for values in (alone.unique, alone.partial_r, alone.inner_unique, bands.fold_r, bands.fold_r2):
        assert np.isnan(values[:, 1]).all() and np.isfinite(values[:, 0]).all()


@pytest.mark.parametrize("metric", ["cka", "rsa_pearson", "rsa_spearman", "knn"])
def test_similarity_does_not_depend_on_means_or_units_of_targets(metric):
    rng = np.random.default_rng(2)
    data = SIGNAL[:80, None] * rng.normal(size=5) + rng.normal(size=(80, 5))
    shifted = data + 1e4 * rng.normal(size=5)
    large = data.astype("f4") * np.float32(1e30)
    index = np.zeros(5, dtype=int)
    problems = [
        Problem(values, None, index) for values in (data, shifted, data * 1e-30, data * 1e30, large)
    ]
    found = compare_layers([X[:80]], problems, 1, {metric: None}, dtype="float64")[0]
    scores = np.array([one[metric].score.ravel()[0] for one in found])
    expected = scores[0]
    assert np.isfinite(expected)
    np.testing.assert_allclose(scores[[2, 3, 4]], expected, atol=1e-5)
    if metric == "cka":
        np.testing.assert_allclose(scores[1], expected, atol=1e-7)
