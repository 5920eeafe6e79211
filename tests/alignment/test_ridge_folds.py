"""Selection by inner folds agrees with scikit-learn's grid search and with himalaya."""

import numpy as np
import pytest
from himalaya.ridge import RidgeCV
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

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

ALPHAS = alpha_grid(-1, 4, 11)


def data(n, p, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + 2
    y = x @ rng.normal(size=(p, 4)) + np.array([0.1, 3, 20, 200]) * rng.normal(size=(n, 4))
    return x, y


def positions(train, splits):
    at = {row: k for k, row in enumerate(train)}
    return [([at[r] for r in s.train], [at[r] for r in s.test]) for s in splits]


@pytest.mark.parametrize("p", [6, 70])
def test_items_equal_grid_search(p):
    x, y = data(50, p)
    splits = item_splits(50, folds=3, seed=0)

    def inner(train):
        return inner_item_splits(train, 50, folds=4, seed=0)

    found = fit_ridge(
        x,
        y,
        splits,
        design="items",
        alphas=ALPHAS,
        selection="folds",
        inner_splits=inner,
        return_predictions=True,
    )
    for fold, split in enumerate(splits):
        for t in range(4):
            search = GridSearchCV(
                Ridge(solver="svd"),
                {"alpha": ALPHAS},
                cv=positions(split.train, inner(split.train)),
                scoring="neg_mean_squared_error",
            )
            search = make_pipeline(StandardScaler(), search).fit(x[split.train], y[split.train, t])
            assert found.alpha[fold, t] == search[-1].best_params_["alpha"]
            np.testing.assert_allclose(
                found.predictions[split.test, t], search.predict(x[split.test]), rtol=1e-8
            )


def test_story_equals_himalaya():
    x, y = data(120, 8, seed=2)
    splits = story_splits(120, folds=4, trim=3)

    def inner(train):
        return inner_story_splits(train, folds=5, trim=2)

    found = fit_ridge(
        x,
        y,
        splits,
        design="story",
        alphas=ALPHAS,
        inner_splits=inner,
        standardize=False,
        return_predictions=True,
    )
    for fold, split in enumerate(splits):
        model = RidgeCV(
            ALPHAS,
            fit_intercept=True,
            cv=positions(split.train, inner(split.train)),
            solver_params={"warn": False},
        ).fit(x[split.train], y[split.train])
        np.testing.assert_allclose(found.alpha[fold], model.best_alphas_, rtol=1e-12)
        np.testing.assert_allclose(
            found.predictions[split.test], model.predict(x[split.test]), rtol=1e-8, atol=1e-8
        )


def test_inner_score_is_the_mean_r_over_inner_folds():
    x, y = data(60, 5)
    split = item_splits(60, folds=3, seed=0)[0]
    inner = inner_item_splits(split.train, 60, folds=3, seed=1)
    found = fit_ridge(
        x,
        y,
        [split],
        design="items",
        alphas=[3.0],
        selection="folds",
        inner_splits=lambda train: inner,
        standardize=False,
    )
    nested = fit_ridge(x, y, inner, design="items", alphas=[3.0], standardize=False)
    np.testing.assert_allclose(found.inner_r[0], nested.fold_r.mean(axis=0), atol=1e-10)


def test_leave_one_out_on_a_story_is_refused_unless_forced():
    x, y = data(60, 5)
    splits = story_splits(60, folds=3, trim=2)
    with pytest.raises(ConfigError, match="neighbours"):
        fit_ridge(x, y, splits, design="story", alphas=ALPHAS, selection="loo")
    forced = fit_ridge(x, y, splits, design="story", alphas=ALPHAS, selection="loo", force=True)
    assert np.isfinite(forced.r).all()


def test_inner_folds_that_reach_into_the_test_set_are_refused():
    x, y = data(60, 5)
    splits = story_splits(60, folds=3, trim=2)
    for inner in ([Split(splits[1].train, splits[1].test)], []):
        with pytest.raises(ConfigError, match="fold"):
            fit_ridge(
                x, y, splits, design="story", alphas=ALPHAS, inner_splits=lambda _, s=inner: s
            )
    with pytest.raises(ConfigError, match="no inner splits"):
        fit_ridge(x, y, splits, design="story", alphas=ALPHAS)
