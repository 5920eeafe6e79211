"""Ridge on principal components equals scikit-learn's pipeline; test rows choose no axis."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from convergent.alignment import alpha_grid, fit_ridge, inner_item_splits, item_splits
from convergent.errors import ConfigError

ALPHAS = alpha_grid(-1, 4, 6)
SPLITS = item_splits(60, folds=3, seed=0)


def data(features, seed=0):
    rng = np.random.default_rng(seed)
    scales = np.geomspace(8, 0.05, 12)
    x = (rng.normal(size=(60, 12)) * scales) @ rng.normal(size=(12, features)) + 3
    x += 0.3 * rng.normal(size=x.shape)
    y = x @ rng.normal(size=(features, 3)) + rng.normal(size=(60, 3)) * [1, 10, 100]
    return x, y


def inner(train):
    return inner_item_splits(train, 60, folds=3, seed=0)


def fit(x, y, components, selection="gcv", **options):
    return fit_ridge(
        x,
        y,
        SPLITS,
        design="items",
        alphas=ALPHAS,
        selection=selection,
        inner_splits=inner if selection == "folds" else None,
        components=components,
        return_predictions=True,
        **options,
    )


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("selection", ["gcv", "loo", "folds"])
@pytest.mark.parametrize("features", [20, 150])  # covariance, Gram matrix
def test_predictions_equal_a_pipeline_fitted_on_training_rows(features, selection, standardize):
    x, y = data(features)
    found = fit(x, y, 5, selection, standardize=standardize)
    for fold, split in enumerate(SPLITS):
        for target in range(y.shape[1]):
            steps = [PCA(5), Ridge(alpha=found.alpha[fold, target])]
            pipeline = make_pipeline(*([StandardScaler()] if standardize else []), *steps)
            pipeline.fit(x[split.train], y[split.train, target] / y[split.train, target].std())
            expected = pipeline.predict(x[split.test]) * y[split.train, target].std()
            np.testing.assert_allclose(
                found.predictions[split.test, target], expected, rtol=1e-6, atol=1e-8
            )


@pytest.mark.parametrize("selection", ["gcv", "loo", "folds"])
def test_no_test_row_influences_the_axes(selection):
    x, y = data(150)
    before = fit(x, y, 5, selection)
    for fold, split in enumerate(SPLITS):
        changed, row = x.copy(), split.test[0]
        changed[row] += 1e3 * np.random.default_rng(1).normal(size=x.shape[1])
        after = fit(changed, y, 5, selection)
        # of the fold where the row is a test row: the same fit, and the same for other test rows
        np.testing.assert_array_equal(after.alpha[fold], before.alpha[fold])
        np.testing.assert_array_equal(after.inner_r[fold], before.inner_r[fold])
        others = split.test[1:]
        np.testing.assert_allclose(after.predictions[others], before.predictions[others], rtol=1e-9)
        assert np.abs(after.predictions[row] - before.predictions[row]).min() > 1
        # axes of all rows together would be turned by it: the same check sees that
        leaky = [PCA(5).fit_transform(StandardScaler().fit_transform(v)) for v in (x, changed)]
        first, second = (fit(v, y, None, selection, standardize=False) for v in leaky)
        assert np.abs(second.predictions[others] - first.predictions[others]).max() > 0.1


@pytest.mark.parametrize("selection", ["gcv", "folds"])
@pytest.mark.parametrize("features", [12, 150])
def test_all_components_are_the_features(features, selection):
    x, y = data(features)
    whole, turned = (fit(x, y, components, selection) for components in (None, 1000))
    np.testing.assert_allclose(turned.predictions, whole.predictions, rtol=1e-7, atol=1e-8)
    np.testing.assert_array_equal(turned.alpha, whole.alpha)


def test_features_of_lower_rank_give_fewer_components():
    x, y = data(20)
    x = np.repeat(x[:, :3], 4, axis=1)
    np.testing.assert_allclose(fit(x, y, 8).predictions, fit(x, y, None).predictions, rtol=1e-6)


def test_fewer_than_one_component_is_refused():
    x, y = data(20)
    with pytest.raises(ConfigError, match="components is 0"):
        fit(x, y, 0)
