"""Degenerate inputs have defined results or one-line refusals."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import RidgeCV

from convergent.alignment import fit_ridge, inner_item_splits, item_splits
from convergent.alignment.ridge.solve import GcvFold
from convergent.errors import ConfigError, DataError, DeviceError, NumericalError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6))
Y = X @ RNG.normal(size=(6, 3)) + RNG.normal(size=(40, 3))
SPLITS = item_splits(40, folds=4, seed=0)


def fit(x=X, y=Y, splits=SPLITS, **options):
    options = {"design": "items", "alphas": [0.1, 1.0, 10.0], **options}
    return fit_ridge(x, y, splits, **options)


def test_constant_feature_changes_nothing_even_when_it_varies_in_the_test_set():
    plain = fit(return_predictions=True)
    extra = np.full((40, 1), 0.1)
    splits = SPLITS[:1]
    extra[splits[0].test] = 1e6
    found = fit(np.hstack([X, extra]), splits=splits, return_predictions=True)
    test = splits[0].test
    np.testing.assert_allclose(found.predictions[test], plain.predictions[test], rtol=1e-10)


@pytest.mark.parametrize("wide", [1, 30])
def test_no_varying_feature_predicts_the_training_mean(wide):
    found = fit(np.full((40, 3 * wide), 0.1), return_predictions=True)
    for split in SPLITS:
        mean = Y[split.train].mean(axis=0)
        np.testing.assert_allclose(
            found.predictions[split.test], np.tile(mean, (split.test.size, 1))
        )
    assert (found.fold_r == 0).all()


def test_constant_target_is_undefined_and_flagged_beside_unharmed_neighbours():
    y = np.column_stack([Y, np.full(40, 0.1)])
    found = fit(y=y)
    assert np.isnan(found.fold_r[:, 3]).all() and np.isnan(found.fold_r2[:, 3]).all()
    assert np.isnan(found.r[3]) and np.isnan(found.inner_r[:, 3]).all()
    assert found.undefined[:, 3].all() and not found.undefined[:, :3].any()
    np.testing.assert_allclose(found.fold_r[:, :3], fit().fold_r, atol=1e-12)


@pytest.mark.parametrize("selection", ["gcv", "loo", "folds"])
def test_alphas_that_tie_go_to_the_smallest(selection):
    found = fit(
        y=np.full((40, 1), 0.1),
        selection=selection,
        inner_splits=lambda train: inner_item_splits(train, 40, folds=3, seed=0),
    )
    assert (found.alpha == 0.1).all()


def test_target_constant_in_training_only_scores_zero():
    y = Y.copy()
    y[SPLITS[0].train, 0] = 0.1
    assert fit(y=y, splits=SPLITS[:1]).fold_r[0, 0] == 0.0


@pytest.mark.parametrize("wide", [False, True])
def test_duplicated_features_and_samples_agree_with_ridgecv(wide):
    x = np.hstack([X, X, 2 * X]) if not wide else np.hstack([X] * 9)
    x[1], x[3] = x[0], x[0]
    found = fit(x, selection="loo", standardize=False, return_predictions=True)
    for fold, split in enumerate(SPLITS):
        model = RidgeCV([0.1, 1.0, 10.0], alpha_per_target=True)
        model.fit(x[split.train], Y[split.train])
        np.testing.assert_array_equal(found.alpha[fold], model.alpha_)
        np.testing.assert_allclose(
            found.predictions[split.test], model.predict(x[split.test]), rtol=1e-8, atol=1e-8
        )


def test_ill_conditioned_features_stay_exact_through_the_svd():
    x = X * np.logspace(0, 6, 6)
    found = fit(x, standardize=False, alphas=[1e-2], return_predictions=True)
    split = SPLITS[0]
    a, b = x[split.train], Y[split.train]
    u, s, vh = np.linalg.svd(a - a.mean(axis=0), full_matrices=False)
    weights = vh.T @ ((s / (s**2 + 1e-2))[:, None] * (u.T @ (b - b.mean(axis=0))))
    expected = (x[split.test] - a.mean(axis=0)) @ weights + b.mean(axis=0)
    np.testing.assert_allclose(found.predictions[split.test], expected, rtol=1e-8)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_input_is_refused_with_its_extent(bad):
    x, y = X.copy(), Y.copy()
    x[3, 2] = x[4, 5] = bad
    y[0, :2] = bad
    with pytest.raises(NumericalError, match="2 of 6 features"):
        fit(x)
    with pytest.raises(NumericalError, match="2 of 3 targets"):
        fit(y=y)


def test_mismatched_or_senseless_arguments_are_refused():
    with pytest.raises(DataError, match="39 samples of features and 40"):
        fit(X[:39])
    with pytest.raises(DataError, match="shape"):
        fit(X[:, 0])
    for options in (
        {"alphas": [1.0, 1.0]},
        {"alphas": [0.0, 1.0]},
        {"alphas": []},
        {"splits": []},
        {"splits": [SPLITS[0], SPLITS[0]], "return_predictions": True},
        {"design": "films"},
        {"selection": "aic"},
        {"missing": "drop"},
        {"target_batch": 0},
        {"dtype": "float16"},
        {"permutations": np.zeros((2, 40), dtype=int)},
    ):
        with pytest.raises(ConfigError):
            fit(**options)


def test_read_only_single_precision_and_strided_input_is_accepted():
    x, y = np.asfortranarray(X), np.repeat(Y, 2, axis=1)[:, ::2]
    alphas = np.array([0.1, 1.0, 10.0])
    for array in (x, y, alphas):
        array.setflags(write=False)
    np.testing.assert_allclose(fit(x, y, alphas=alphas).r, fit().r, atol=1e-12)
    frozen = X.copy()
    frozen.setflags(write=False)
    np.testing.assert_allclose(fit(frozen).r, fit().r, atol=1e-12)
    np.testing.assert_allclose(fit(X.astype("f4"), Y.astype("f4")).r, fit().r, atol=1e-5)


def test_full_memory_halves_the_target_batch_and_changes_nothing(monkeypatch):
    score = GcvFold.score
    tried = []

    def limited(self, block, **options):
        tried.append(len(block.train))
        if len(block.train) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return score(self, block, **options)

    expected = fit(return_predictions=True)
    monkeypatch.setattr(GcvFold, "score", limited)
    limit = 1
    found = fit(return_predictions=True)
    assert max(tried) == 3
    np.testing.assert_allclose(found.predictions, expected.predictions, rtol=1e-12)
    limit = 0
    with pytest.raises(DeviceError, match="one target"):
        fit()
