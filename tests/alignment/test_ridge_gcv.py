"""Generalised cross-validation agrees with its definition, and with slower ways to choose."""

import numpy as np
import pytest
from scipy import linalg
from sklearn.metrics import r2_score

from convergent.alignment import (
    Split,
    alpha_grid,
    fit_ridge,
    inner_item_splits,
    inner_story_splits,
    item_splits,
    story_splits,
)
from convergent.errors import ConfigError

ALPHAS = alpha_grid(-2, 6, 17)


def data(n, p, targets=5, seed=0, rank=None):
    rng = np.random.default_rng(seed)
    rank = min(n, p) if rank is None else rank
    axes = rng.normal(size=(n, rank)) * np.arange(1, rank + 1) ** -0.5
    x = axes @ rng.normal(size=(rank, p)) + 3
    y = axes @ rng.normal(size=(rank, targets))
    return x, y + np.linspace(0.05, 4, targets) * y.std() * rng.normal(size=y.shape) + 2


def hat(x, alpha):
    """Hat matrix of ridge with an intercept, by solving the bordered normal equations."""
    n, p = x.shape
    bordered = np.hstack([np.ones((n, 1)), x])
    penalty = np.diag([0.0] + [alpha] * p)
    return bordered @ linalg.solve(bordered.T @ bordered + penalty, bordered.T, assume_a="pos")


@pytest.mark.parametrize(("n", "p", "rank"), [(60, 9, None), (40, 100, None), (50, 60, 7)])
def test_alphas_predictions_and_scores_follow_from_the_definition(n, p, rank):
    x, y = data(n, p, rank=rank)
    splits = item_splits(n, folds=4, seed=1)
    found = fit_ridge(
        x,
        y,
        splits,
        design="items",
        alphas=ALPHAS,
        selection="gcv",
        standardize=False,
        return_predictions=True,
    )
    for fold, split in enumerate(splits):
        a, b = x[split.train], y[split.train]
        m = len(a)
        errors = []
        for alpha in ALPHAS:
            h = hat(a, alpha)
            residual = b - h @ b
            errors.append((residual**2).mean(axis=0) / (1 - np.trace(h) / m) ** 2)
        chosen = ALPHAS[np.argmin(errors, axis=0)]
        np.testing.assert_array_equal(found.alpha[fold], chosen)
        centred = a - a.mean(axis=0)
        for t, alpha in enumerate(chosen):
            gram = centred @ centred.T + alpha * np.eye(m)
            weights = centred.T @ linalg.solve(gram, b[:, t] - b[:, t].mean(), assume_a="pos")
            predicted = (x[split.test] - a.mean(axis=0)) @ weights + b[:, t].mean()
            np.testing.assert_allclose(
                found.predictions[split.test, t], predicted, rtol=1e-8, atol=1e-8
            )
            r2 = r2_score(y[split.test, t], predicted)
            np.testing.assert_allclose(found.fold_r2[fold, t], r2, atol=1e-8)


def test_inner_r_is_that_of_leave_one_out_where_leverage_is_equal():
    # rows of a Fourier basis: every sample has the same leverage, whatever alpha is
    n, p = 48, 20
    time = np.arange(n)[:, None] * np.arange(1, p // 2 + 1) * 2 * np.pi / n
    x = np.hstack([np.cos(time), np.sin(time)])
    y = np.random.default_rng(0).normal(size=(n, 6)) + x[:, :6]
    both = [
        fit_ridge(
            np.vstack([x, x]),
            np.vstack([y, y]),
            [Split(np.arange(n), np.arange(n, 2 * n))],
            design="items",
            alphas=ALPHAS,
            selection=selection,
            standardize=False,
        )
        for selection in ("gcv", "loo")
    ]
    np.testing.assert_array_equal(both[0].alpha, both[1].alpha)
    np.testing.assert_allclose(both[0].inner_r, both[1].inner_r, atol=1e-10)


@pytest.mark.parametrize(("n", "p"), [(300, 40), (200, 600)])
def test_independent_noise_loses_no_more_than_a_thousandth_of_r_against_inner_folds(n, p):
    x, y = data(n, p, targets=400, seed=3)
    splits = item_splits(n, folds=4, seed=0)
    scores = {}
    for selection in ("gcv", "loo", "folds"):
        scores[selection] = fit_ridge(
            x,
            y,
            splits,
            design="items",
            alphas=ALPHAS,
            selection=selection,
            inner_splits=lambda rows: inner_item_splits(rows, n, folds=5, seed=0),
        )
    loss = scores["folds"].r.mean() - scores["gcv"].r.mean()
    assert loss < 1e-3
    assert abs(scores["loo"].r.mean() - scores["gcv"].r.mean()) < 2e-3
    inner = [np.corrcoef(scores[s].inner_r.ravel(), scores["gcv"].inner_r.ravel())[0, 1]
             for s in ("loo", "folds")]  # fmt: skip
    assert inner[0] > 0.999 and inner[1] > 0.97


def test_it_is_refused_on_a_story_with_the_reason_unless_forced():
    x, y = data(60, 5)
    splits = item_splits(60, folds=3, seed=0)
    with pytest.raises(ConfigError, match=r"gcv.*neighbours"):
        fit_ridge(x, y, splits, design="story", alphas=ALPHAS, selection="gcv")
    forced = fit_ridge(x, y, splits, design="story", alphas=ALPHAS, selection="gcv", force=True)
    plain = fit_ridge(x, y, splits, design="items", alphas=ALPHAS)
    np.testing.assert_array_equal(forced.r, plain.r)


def test_autocorrelated_noise_fools_it_and_contiguous_folds_are_not_fooled():
    rng = np.random.default_rng(0)
    n, p = 400, 150
    noise = rng.normal(size=(n, 300))
    x = rng.normal(size=(n, p))
    for volume in range(1, n):
        noise[volume] += 0.9 * noise[volume - 1]
        x[volume] += 0.9 * x[volume - 1]
    y = 0.06 * x @ rng.normal(size=(p, 300)) + noise
    splits = story_splits(n, folds=4, trim=10)
    r2, alpha = {}, {}
    for selection in ("gcv", "folds"):
        found = fit_ridge(
            x,
            y,
            splits,
            design="story",
            alphas=ALPHAS,
            selection=selection,
            inner_splits=lambda rows: inner_story_splits(rows, folds=4, trim=10),
            force=True,
        )
        r2[selection] = found.r2.mean()
        alpha[selection] = np.log10(found.alpha).mean()
    # what every selector minimises is squared error: it overfits, with far too small penalties
    assert r2["gcv"] < r2["folds"] - 0.1
    assert alpha["folds"] > alpha["gcv"] + 1
