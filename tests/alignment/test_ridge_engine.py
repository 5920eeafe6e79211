"""One factorisation, whichever side and however the data arrive, gives one answer."""

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from scipy.stats import ortho_group
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV

from convergent.alignment import (
    Gram,
    Problem,
    Split,
    alpha_grid,
    fit_ridge,
    fit_subjects,
    inner_item_splits,
    inner_story_splits,
    item_orders,
    item_splits,
)
from convergent.alignment.ridge import folds as _folds
from convergent.alignment.ridge.space import compress
from convergent.errors import ConfigError, DataError, NumericalError

ALPHAS = alpha_grid(-1, 6, 15)
SELECTIONS = ["gcv", "loo", "folds"]


def data(n=60, p=25, targets=7, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) * np.arange(1, p + 1) ** -0.5 + rng.normal(size=p)
    y = x @ rng.normal(size=(p, targets))
    return x, y + np.linspace(0.1, 5, targets) * rng.normal(size=y.shape) + 1


def fit(x, y, selection="gcv", splits=None, **options):
    n = y.shape[0]
    defaults = {
        "design": "items",
        "alphas": ALPHAS,
        "inner_splits": lambda rows: inner_item_splits(rows, n, folds=4, seed=0),
        "standardize": False,
    }
    splits = item_splits(n, folds=3, seed=0) if splits is None else splits
    return fit_ridge(x, y, splits, selection=selection, **(defaults | options))


def same(one, other, atol=1e-8):
    np.testing.assert_array_equal(one.alpha, other.alpha)
    for name in ("fold_r", "fold_r2", "inner_r"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=atol)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("p", [12, 200])
def test_features_may_arrive_as_inner_products_in_blocks(selection, p):
    x, y = data(p=p)
    gram = Gram.of(x[:, start : start + 7] for start in range(0, p, 7))
    assert gram.width == p
    same(fit(x, y, selection), fit(gram, y, selection))


def test_gram_refuses_what_it_cannot_serve():
    x, y = data()
    with pytest.raises(ConfigError, match="cannot be scaled"):
        fit(Gram.of(x), y, standardize=True)
    with pytest.raises(DataError, match=r"\(59, 3\)"):
        Gram.of([x, x[1:, :3]])
    with pytest.raises(DataError, match="no features"):
        Gram.of([])
    x[3, 2] = np.nan
    with pytest.raises(NumericalError, match="NaN"):
        Gram.of(x)
    with pytest.raises(NumericalError, match="drowns"):
        fit(Gram.of(data()[0] * 1e7), y, alphas=[1e-3, 1.0])


@pytest.mark.parametrize("selection", SELECTIONS)
def test_responses_may_be_read_from_disk_block_by_block(selection, tmp_path):
    x, y = data(targets=23)
    plain = fit(x, y, selection)
    stored = zarr.create_array(tmp_path / "y.zarr", data=y, chunks=(60, 5))
    mapped = np.memmap(tmp_path / "y.raw", dtype=y.dtype, mode="w+", shape=y.shape)
    mapped[:] = y
    for responses in (stored, mapped):
        same(plain, fit(x, responses, selection, target_batch=5))


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("streamed", [False, True])
def test_targets_with_missing_values_are_refused_or_masked(selection, streamed, tmp_path):
    x, y = data(targets=6)
    orders = item_orders(60, permutations=3, seed=0)
    clean = fit(x, y, selection, permutations=orders, return_predictions=True)
    holes = y.copy()
    holes[4, 1], holes[7, 5] = np.nan, np.inf
    given_y = zarr.create_array(tmp_path / "y.zarr", data=holes) if streamed else holes
    with pytest.raises(NumericalError, match="2 of 6 targets"):
        fit(x, given_y, selection)
    found = fit(x, given_y, selection, missing="mask", permutations=orders, return_predictions=True)
    good = [0, 2, 3, 4]
    for name in ("r", "r2", "fold_r", "inner_r", "alpha", "null_fold_r", "predictions"):
        values = getattr(found, name)
        np.testing.assert_allclose(values[..., good], getattr(clean, name)[..., good], atol=1e-10)
        assert np.isnan(values[..., [1, 5]]).all()
    assert not found.alpha_at_edge[:, [1, 5]].any()


@pytest.mark.parametrize("p", [8, 70])
def test_responses_and_their_projections_choose_and_predict_alike(p, monkeypatch):
    x, y = data(p=p)
    found = []
    for cheaper in (True, False):
        monkeypatch.setattr(_folds, "_projecting_is_cheaper", lambda *_, side=cheaper: side)
        found.append(fit(x, y, "folds", return_predictions=True))
    same(*found)
    np.testing.assert_allclose(found[0].predictions, found[1].predictions, atol=1e-9)


@pytest.mark.parametrize("folds", [2, 5])
@pytest.mark.parametrize("trim", [0, 3])
@pytest.mark.parametrize("p", [8, 70])
def test_trimmed_inner_folds_of_any_size_agree_with_scikit_learn(folds, trim, p):
    x, y = data(n=64, p=p, targets=3)
    split = Split(np.arange(48), np.arange(50, 64))
    inner = inner_story_splits(split.train, folds=folds, trim=trim)
    found = fit(x, y, "folds", [split], inner_splits=lambda _: inner, design="story", alphas=ALPHAS)
    for t in range(3):
        search = GridSearchCV(
            Ridge(solver="svd"),
            {"alpha": ALPHAS},
            cv=[(s.train, s.test) for s in inner],
            scoring="neg_mean_squared_error",
        ).fit(x[:48], y[:48, t])
        assert found.alpha[0, t] == search.best_params_["alpha"]
        predicted = search.predict(x[50:])
        r = np.corrcoef(predicted, y[50:, t])[0, 1]
        np.testing.assert_allclose(found.fold_r[0, t], r, atol=1e-8)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize(("n", "p"), [(80, 20), (60, 150)])
@pytest.mark.parametrize("alphas", [20, 60])
def test_single_precision_and_interpolated_alphas_agree_with_double(selection, n, p, alphas):
    x, y = data(n=n, p=p, targets=40)
    grid = alpha_grid(-1, 8, alphas)
    exact = fit(x, y, selection, alphas=grid)
    rough = fit(x, y, selection, alphas=grid, dtype="float32")
    # alphas whose errors tie to five digits may swap (noise: all large ones do)
    agree = exact.alpha == rough.alpha
    assert agree[exact.alpha < 1e5].mean() > 0.97 and agree.mean() > 0.8
    np.testing.assert_allclose(rough.fold_r[agree], exact.fold_r[agree], atol=1e-4)
    np.testing.assert_allclose(rough.fold_r, exact.fold_r, atol=3e-3)
    np.testing.assert_allclose(rough.inner_r[agree], exact.inner_r[agree], atol=1e-4)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_massive_features_do_not_spoil_single_precision(selection):
    x, y = data(n=90, p=40, targets=20)
    massive = np.random.default_rng(1).normal(3000, 50, size=(90, 3))
    x = np.hstack([x, massive])
    one, other = (fit(x, y, selection, dtype=d) for d in ("float64", "float32"))
    agree = one.alpha == other.alpha
    assert agree.mean() > 0.95
    np.testing.assert_allclose(other.fold_r[agree], one.fold_r[agree], atol=1e-4)
    np.testing.assert_allclose(other.fold_r2[agree], one.fold_r2[agree], atol=1e-4)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_large_baselines_of_responses_do_not_spoil_single_precision(selection):
    x, y = data(targets=12)
    y32 = (y + 1000).astype(np.float32)
    one, other = fit(x, y32.astype(float), selection), fit(x, y32, selection, dtype="float32")
    agree = one.alpha == other.alpha
    assert agree.mean() > 0.9
    np.testing.assert_allclose(other.fold_r[agree], one.fold_r[agree], atol=1e-4)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("p", [39, 40, 41, 45])
def test_as_many_features_as_samples_agrees_with_a_direct_solve(selection, p):
    x, y = data(n=60, p=p, targets=3)
    splits = item_splits(60, folds=3, seed=0)  # 40 train
    found = fit(x, y, selection, splits, alphas=[0.3], return_predictions=True)
    for split in splits:
        a, b = x[split.train], y[split.train]
        centred = a - a.mean(axis=0)
        gram = centred.T @ centred + 0.3 * np.eye(p)
        weights = linalg.solve(gram, centred.T @ (b - b.mean(axis=0)), assume_a="pos")
        expected = (x[split.test] - a.mean(axis=0)) @ weights + b.mean(axis=0)
        np.testing.assert_allclose(found.predictions[split.test], expected, atol=1e-8)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(SELECTIONS), st.sampled_from([6, 80]))
def test_rotation_offset_order_and_target_scale_change_nothing(seed, selection, p):
    x, y = data(n=45, p=p, targets=4, seed=seed)
    rng = np.random.default_rng(seed)
    plain = fit(x, y, selection)
    rotated = x @ ortho_group.rvs(p, random_state=seed) + rng.normal(size=p)
    same(plain, fit(rotated, y, selection))
    scales = rng.uniform(0.01, 100, 4)
    same(plain, fit(x, y * scales + rng.normal(size=4), selection))
    order = rng.permutation(45)
    at = np.argsort(order)
    splits = [Split(at[s.train], at[s.test]) for s in item_splits(45, folds=3, seed=0)]

    def inner(rows):
        found = inner_item_splits(order[rows], 45, folds=4, seed=0)
        return [Split(at[s.train], at[s.test]) for s in found]

    same(plain, fit(x[order], y[order], selection, splits, inner_splits=inner))


@pytest.mark.parametrize("selection", SELECTIONS)
def test_permuted_targets_equal_refitting_permuted_responses(selection):
    x, y = data(targets=9)
    orders = item_orders(60, permutations=4, seed=1)
    found = fit(x, y, selection, permutations=orders, target_batch=7)
    for p, order in enumerate(orders):
        again = fit(x, y[order], selection)
        np.testing.assert_allclose(found.null_fold_r[p], again.fold_r, atol=1e-9)
        np.testing.assert_allclose(found.null_inner_r[p], again.inner_r, atol=1e-9)


def test_one_target_and_one_test_sample_are_defined():
    x, y = data(targets=1)
    splits = [Split(np.arange(50), np.arange(50, 60)), Split(np.arange(50), np.array([55]))]
    for selection in SELECTIONS:
        found = fit(
            x,
            y,
            selection,
            splits,
            inner_splits=lambda rows: inner_item_splits(rows, 60, folds=3, seed=0),
        )
        assert np.isfinite(found.fold_r[0, 0]) and np.isnan(found.fold_r[1, 0])
        assert found.r[0] == found.fold_r[0, 0]
        np.testing.assert_array_equal(found.alpha[0], found.alpha[1])


def test_an_inner_fold_without_variance_is_left_out_of_the_inner_score():
    x, y = data(targets=2)
    split = Split(np.arange(50), np.arange(50, 60))
    y[:10, 0] = 3.0  # constant over the first inner fold
    inner = [Split(np.setdiff1d(np.arange(50), rows), rows) for rows in np.split(np.arange(50), 5)]
    found = fit(x, y, "folds", [split], inner_splits=lambda _: inner, alphas=[2.0])
    expected = [
        np.corrcoef(Ridge(2.0).fit(x[s.train], y[s.train, 0]).predict(x[s.test]), y[s.test, 0])[
            0, 1
        ]
        for s in inner[1:]
    ]
    np.testing.assert_allclose(found.inner_r[0, 0], np.mean(expected), atol=1e-8)


@pytest.mark.parametrize("p", [8, 70])
def test_inner_folds_decompose_the_features_where_inner_products_would_hide_the_alphas(p):
    x, y = data(p=p)
    grid = np.logspace(-2, 3, 6)
    # a dominant feature that explains nothing: its square hides the alphas, not the others
    big = np.column_stack([x, 1e9 * np.random.default_rng(1).normal(size=len(x))])
    (split,) = item_splits(60, folds=3, seed=0)[:1]
    inner = inner_item_splits(split.train, 60, folds=4, seed=0)
    found = fit(big, y, "folds", [split], alphas=grid)
    train = np.searchsorted(split.train, np.arange(60))
    for t in range(y.shape[1]):
        search = GridSearchCV(
            Ridge(solver="svd"),
            {"alpha": grid},
            cv=[(train[s.train], train[s.test]) for s in inner],
            scoring="neg_mean_squared_error",
        ).fit(big[split.train], y[split.train, t])
        assert found.alpha[0, t] == search.best_params_["alpha"]
        r = np.corrcoef(search.predict(big[split.test]), y[split.test, t])[0, 1]
        np.testing.assert_allclose(found.fold_r[0, t], r, atol=1e-6)
    with pytest.raises(NumericalError, match="drowns"):
        fit(Gram.of(big), y, "folds", [split], alphas=grid)


def test_subjects_share_what_the_features_cost_and_keep_their_own_scores():
    x, _ = data(n=40, p=60)
    rng = np.random.default_rng(1)
    problems = [Problem(rng.normal(size=(40, targets))) for targets in (5, 17)]
    for selection in SELECTIONS:
        options = {
            "design": "items",
            "alphas": ALPHAS,
            "selection": selection,
            "inner_splits": lambda rows: inner_item_splits(rows, 40, folds=3, seed=0),
        }
        splits = item_splits(40, folds=4, seed=0)
        together = fit_subjects(x, problems, splits, **options)
        for problem, scores in zip(problems, together, strict=True):
            same(scores, fit_ridge(x, problem.responses, splits, **options), atol=1e-12)


def test_few_functions_stand_for_a_smooth_table_within_the_tolerance():
    values = np.geomspace(1, 1e6, 200)
    table = values / (values + np.logspace(-1, 8, 60)[:, None])
    size = table.max(axis=1)
    found = compress(table, values, size, 1e-6)
    assert found.functions.shape[0] < 30
    error = (found.mix @ found.functions - table) / size[:, None]
    assert np.sqrt(np.square(error).mean(axis=1)).max() <= 1e-6
    fewer = compress(table, values, size, 1e-3)
    assert fewer.functions.shape[0] < found.functions.shape[0]


def test_dominant_components_are_interpolated_as_well_as_the_many_small_ones():
    values = np.concatenate([np.linspace(1, 2, 5000), [1e6]])
    table = values / (values + np.logspace(-1, 8, 60)[:, None])
    found = compress(table, values, table.max(axis=1), 1e-4)
    assert found.functions.shape[0] < 60
    error = (found.mix @ found.functions - table) / table.max(axis=1, keepdims=True)
    assert np.abs(error[:, -1]).max() < 3e-4


def test_a_table_that_has_no_fewer_functions_stays_as_it_is():
    for found in (
        compress(np.eye(4), np.arange(1.0, 5.0), np.ones(4), 1e-6),
        compress(np.zeros((3, 0)), np.zeros(0), np.zeros(3), 1e-6),
        compress(np.ones((3, 5)), np.ones(5), np.ones(3), 0.0),
    ):
        np.testing.assert_array_equal(found.mix, np.eye(len(found.mix)))
