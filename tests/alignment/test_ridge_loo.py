"""Leave-one-out selection agrees with scikit-learn and with refitting sample by sample."""

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convergent.alignment import alpha_grid, fit_ridge, item_splits

ALPHAS = alpha_grid(-1, 5, 13)


def data(n, p, targets=6, seed=0, rank=None):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * rng.uniform(0.1, 5, p) + rng.normal(size=p)
    if rank is not None:
        x = rng.normal(size=(n, rank)) @ rng.normal(size=(rank, p))
    noise = np.linspace(0.01, 30, targets) * np.sqrt(p)
    y = x @ rng.normal(size=(p, targets)) + noise * rng.normal(size=(n, targets)) + 7
    return x, y


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(
    ("n", "p", "rank"),
    [(60, 9, None), (40, 200, None), (40, 32, None), (41, 32, None), (40, 31, None), (50, 60, 7)],
)
def test_alphas_predictions_and_scores_equal_ridgecv(n, p, rank, standardize):
    x, y = data(n, p, rank=rank)
    splits = item_splits(n, folds=5, seed=1)
    found = fit_ridge(
        x,
        y,
        splits,
        design="items",
        alphas=ALPHAS,
        selection="loo",
        standardize=standardize,
        return_predictions=True,
    )
    for fold, split in enumerate(splits):
        model = RidgeCV(ALPHAS, alpha_per_target=True)
        if standardize:
            model = make_pipeline(StandardScaler(), model)
        model.fit(x[split.train], y[split.train])
        fitted = model[-1] if standardize else model
        np.testing.assert_array_equal(found.alpha[fold], fitted.alpha_)
        predicted = model.predict(x[split.test])
        np.testing.assert_allclose(found.predictions[split.test], predicted, rtol=1e-8, atol=1e-8)
        r = [pearsonr(predicted[:, t], y[split.test, t]).statistic for t in range(y.shape[1])]
        np.testing.assert_allclose(found.fold_r[fold], r, atol=1e-8)
        r2 = r2_score(y[split.test], predicted, multioutput="raw_values")
        np.testing.assert_allclose(found.fold_r2[fold], r2, atol=1e-8)


@pytest.mark.parametrize("p", [5, 80])
@pytest.mark.parametrize("alpha", [1e-6, 0.3, 1e4])
def test_inner_r_equals_refitting_without_each_sample(p, alpha):
    x, y = data(24, p, targets=3, seed=3)
    split = item_splits(24, folds=4, seed=0)[0]
    found = fit_ridge(
        x, y, [split], design="items", alphas=[alpha], selection="loo", standardize=False
    )
    a, b = x[split.train], y[split.train]
    part = np.empty_like(b)
    for i in range(len(a)):
        others = np.arange(len(a)) != i
        fit = Ridge(alpha, solver="svd", tol=1e-12).fit(a[others], b[others])
        part[i] = fit.predict(a[[i]])[0] - b[others].mean(axis=0)
    expected = [pearsonr(part[:, t], b[:, t]).statistic for t in range(3)]
    np.testing.assert_allclose(found.inner_r[0], expected, atol=1e-8)


def test_weights_solve_the_normal_equations():
    x, y = data(30, 12)
    split = item_splits(30, folds=3, seed=0)[1]
    found = fit_ridge(
        x,
        y,
        [split],
        design="items",
        alphas=[2.5],
        standardize=False,
        return_predictions=True,
    )
    a, b = x[split.train], y[split.train]
    centred = a - a.mean(axis=0)
    weights = np.linalg.solve(
        centred.T @ centred + 2.5 * np.eye(12), centred.T @ (b - b.mean(axis=0))
    )
    expected = (x[split.test] - a.mean(axis=0)) @ weights + b.mean(axis=0)
    np.testing.assert_allclose(found.predictions[split.test], expected, atol=1e-9)


@pytest.mark.parametrize("selection", ["gcv", "loo"])
def test_inner_r_of_noise_is_near_zero_where_complete_loo_predictions_reach_minus_one(selection):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 10)), rng.normal(size=(60, 400))
    split = item_splits(60, folds=5, seed=0)[0]
    found = fit_ridge(x, y, [split], design="items", alphas=[1e7], selection=selection)
    mean_of_others = -y[split.train] / (split.train.size - 1)
    complete = [
        pearsonr(a, b).statistic for a, b in zip(mean_of_others.T, y[split.train].T, strict=True)
    ]
    np.testing.assert_allclose(complete, -1)
    assert abs(found.inner_r.mean()) < 0.07


def test_alpha_at_the_edge_of_the_grid_is_flagged():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    clean = x @ rng.normal(size=(5, 1))
    middling = clean + 8 * rng.normal(size=(200, 1))
    y = np.hstack([clean, rng.normal(size=(200, 1)), middling])
    splits = item_splits(200, folds=2, seed=0)
    found = fit_ridge(x, y, splits, design="items", alphas=alpha_grid(-3, 5, 17))
    assert found.alpha_at_edge[:, 0].all()
    np.testing.assert_array_equal(found.alpha_at_edge, (found.alpha == 1e-3) | (found.alpha == 1e5))
    single = fit_ridge(x, y, splits, design="items", alphas=[1.0])
    assert not single.alpha_at_edge.any()
