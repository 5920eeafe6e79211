"""Banded ridge agrees with its oracles, finds planted variance, and does not leak."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from convergent.alignment.banded import fit_banded
from convergent.alignment.checks import alpha_grid
from convergent.alignment.himalaya import himalaya_backend
from convergent.alignment.means import partition
from convergent.alignment.scores import check_ratios, ratio_grid, ratios_among
from convergent.alignment.splits import (
    inner_item_splits,
    inner_story_splits,
    item_splits,
    story_splits,
)
from convergent.errors import ConfigError, DataError, DeviceError, NumericalError

FEW = settings(max_examples=6, deadline=None)
SEEDS = st.integers(0, 10**6)
ALPHAS = alpha_grid(-1, 3, 5)
RATIOS = ratio_grid(2, 5)
SOLVERS = pytest.mark.parametrize("solver", ["primal", "dual"])


def data(seed=0, n=40, widths=(3, 4), targets=5):
    rng = np.random.default_rng(seed)
    spaces = {name: rng.normal(size=(n, p)) for name, p in zip("ABCD", widths, strict=False)}
    y = sum(x[:, :2] @ rng.normal(size=(2, targets)) for x in spaces.values())
    return spaces, y + 2 * rng.normal(size=(n, targets))


def fit(spaces, y, folds=3, **options):
    n = len(y)
    options = {
        "inner_splits": lambda train: inner_item_splits(train, n, folds=3, seed=1),
        "alphas": ALPHAS,
        "ratios": ratio_grid(len(spaces), 5),
        "return_predictions": True,
        **options,
    }
    return fit_banded(spaces, y, item_splits(n, folds=folds, seed=0), **options)


def same(one, other, tolerance=1e-9):
    for name in ("fold_r", "fold_r2", "fold_alone_r2", "fold_without_r2", "fold_split_r2"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=tolerance)
    np.testing.assert_allclose(one.log10_penalty, other.log10_penalty, atol=1e-9)


# ---------------------------------------------------------------- oracles


@SOLVERS
@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("widths", [(3, 4), (20, 70)])
def test_equal_penalties_are_ridge_on_the_concatenated_features(solver, standardize, widths):
    spaces, y = data(widths=widths)
    found = fit(spaces, y, alphas=[5.0], ratios=[[1, 1]], solver=solver, standardize=standardize)
    for split in item_splits(40, folds=3, seed=0):
        x = np.concatenate(list(spaces.values()), axis=1)
        scaler = StandardScaler(with_std=standardize).fit(x[split.train])
        ridge = Ridge(alpha=10.0).fit(scaler.transform(x[split.train]), y[split.train])
        expected = ridge.predict(scaler.transform(x[split.test]))
        np.testing.assert_allclose(found.predictions[split.test], expected, atol=1e-9)
    np.testing.assert_allclose(10.0**found.log10_penalty, 10.0)


def brute_force(spaces, y, split, inner, ratios):
    """Predict by scikit-learn: try every ratio and alpha on the inner folds, target by target."""
    scaled = [StandardScaler().fit(x[split.train]).transform(x) for x in spaces]
    best = np.full(y.shape[1], np.inf)
    prediction = np.empty((split.test.size, y.shape[1]))
    penalty = np.empty((len(spaces), y.shape[1]))
    for ratio in ratios:
        x = np.concatenate([s * np.sqrt(w) for s, w in zip(scaled, ratio, strict=True)], axis=1)
        for alpha in ALPHAS:
            errors = [
                (Ridge(alpha=alpha).fit(x[s.train], y[s.train]).predict(x[s.test]) - y[s.test]) ** 2
                for s in inner
            ]
            loss = np.mean([e.mean(axis=0) for e in errors], axis=0)
            better = loss < best
            best[better] = loss[better]
            refit = Ridge(alpha=alpha).fit(x[split.train], y[split.train])
            prediction[:, better] = refit.predict(x[split.test])[:, better]
            penalty[:, better] = (alpha / ratio)[:, None]
    return prediction, penalty


def r2(prediction, truth):
    residual = ((truth - prediction) ** 2).sum(axis=0)
    return 1 - residual / ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)


@SOLVERS
def test_penalties_are_those_of_a_search_by_scikit_learn(solver):
    spaces, y = data(seed=3)
    found = fit(spaces, y, solver=solver)
    for k, split in enumerate(item_splits(40, folds=3, seed=0)):
        inner = inner_item_splits(split.train, 40, folds=3, seed=1)
        prediction, penalty = brute_force(spaces.values(), y, split, inner, RATIOS)
        np.testing.assert_allclose(found.predictions[split.test], prediction, atol=1e-9)
        np.testing.assert_allclose(10.0 ** found.log10_penalty[k], penalty, rtol=1e-9)
        np.testing.assert_allclose(found.fold_r2[k], r2(prediction, y[split.test]), atol=1e-9)
        for s, x in enumerate(spaces.values()):
            alone, _ = brute_force([x], y, split, inner, np.ones((1, 1)))
            expected = r2(alone, y[split.test])
            np.testing.assert_allclose(found.fold_alone_r2[k, s], expected, atol=1e-9)


@pytest.mark.parametrize("widths", [(3, 4), (20, 70), (15, 15, 3)])
def test_weights_of_features_and_of_samples_predict_the_same(widths):
    spaces, y = data(widths=widths)
    primal, dual, smaller = (
        fit(spaces, y, solver=solver) for solver in ("primal", "dual", "smaller")
    )
    for other in (dual, smaller):
        same(primal, other)
        np.testing.assert_allclose(primal.predictions, other.predictions, atol=1e-9)


def test_float32_stays_close():
    spaces, y = data(n=60)
    for solver in ("primal", "dual"):
        options = {"solver": solver, "alphas": [10.0], "ratios": [[1, 3]]}
        one, other = (fit(spaces, y, dtype=d, **options) for d in ("float64", "float32"))
        same(one, other, tolerance=1e-5)


# ---------------------------------------------------------------- planted truth


def planted(shared, only_a, only_b, n=900, targets=12, seed=0):
    """Two spaces that share some columns; the parts of the variance, the rest being noise."""
    rng = np.random.default_rng(seed)
    both, a, b = (rng.normal(size=(n, 4)) for _ in range(3))
    y = np.sqrt(1 - shared - only_a - only_b) * rng.normal(size=(n, targets))
    for variance, columns in ((shared, both), (only_a, a), (only_b, b)):
        weights = rng.normal(size=(4, targets))
        y += np.sqrt(variance) * columns @ (weights / np.linalg.norm(weights, axis=0))
    return {"A": np.hstack([both, a]), "B": np.hstack([b, both])}, y


@pytest.mark.parametrize(
    ("shared", "only_a", "only_b"),
    [(0, 0.6, 0), (0, 0, 0.6), (0, 0.3, 0.3), (0.6, 0, 0), (0.3, 0.2, 0.1), (0, 0, 0)],
)
def test_unique_and_shared_variance_are_as_planted(shared, only_a, only_b):
    found = fit(*planted(shared, only_a, only_b)).partition
    # The loss by estimating 12 weights from 600 samples is below 0.02.
    expected = pytest.approx([shared + only_a + only_b, shared, only_a, only_b], abs=0.03)
    means = [found.total.mean(), found.shared.mean(), *found.unique.mean(axis=1)]
    assert means == expected


def test_a_wide_space_of_noise_costs_a_common_penalty_much_and_banded_ridge_little():
    rng = np.random.default_rng(0)
    n, targets = 150, 10
    signal, noise = rng.normal(size=(n, 4)), rng.normal(size=(n, 800))
    y = signal @ rng.normal(size=(4, targets)) / 2 + rng.normal(size=(n, targets)) / 2
    options = {"alphas": alpha_grid(-1, 5, 7)}
    banded = fit({"signal": signal, "noise": noise}, y, ratios=ratio_grid(2, 9), **options)
    plain = fit({"signal": signal, "noise": noise}, y, ratios=[[1, 1]], **options)
    alone, noise_alone = banded.alone_r2.mean(axis=1)
    assert alone > 0.6 and noise_alone < 0.02
    unique, of_noise = banded.partition.unique
    assert abs(of_noise.mean()) < 0.01 and np.abs(of_noise).max() < 0.05
    assert unique.mean() > 0.6
    assert plain.r2.mean() < banded.r2.mean() - 0.3
    assert (banded.log10_penalty[:, 1] > banded.log10_penalty[:, 0] + 1).all()
    assert np.abs(banded.split_r2[1]).mean() < 0.02 and np.abs(banded.split_r2[1]).max() < 0.1


def test_shared_and_unique_sum_to_the_whole_also_of_three_spaces():
    spaces, y = data(widths=(3, 4, 2))
    ratios = ratio_grid(3, 7, seed=2)
    found = fit(spaces, y, ratios=ratios)
    parts = found.partition
    np.testing.assert_allclose(parts.unique.sum(axis=0) + parts.shared, found.r2, atol=1e-12)
    for k, name in enumerate("ABC"):
        others = {other: x for other, x in spaces.items() if other != name}
        kept = tuple(j for j in range(3) if j != k)
        pair = fit(others, y, ratios=ratios_among(ratios, kept))
        np.testing.assert_allclose(found.fold_without_r2[:, k], pair.fold_r2, atol=1e-12)
        np.testing.assert_allclose(found.alone_r2[kept, :], pair.alone_r2, atol=1e-12)


def test_partition_of_two_spaces_is_that_of_its_definition():
    found = partition([0.5, 0.2], [[0.3, 0.2], [0.4, np.nan]])
    np.testing.assert_allclose(found.unique, [[0.2, 0.0], [0.1, np.nan]])
    np.testing.assert_allclose(found.shared, [0.3 + 0.4 - 0.5, np.nan])
    for total, without in (([0.5], [[0.3]]), ([0.5], [[0.3, 0.1], [0.2, 0.1]]), (0.5, [0.1, 0.2])):
        with pytest.raises(DataError, match="without each space"):
            partition(total, without)


# ---------------------------------------------------------------- properties


@FEW
@given(SEEDS, st.floats(-100, 100), st.floats(1e-3, 1e3))
def test_the_split_sums_to_the_joint_r2_whatever_the_units(seed, offset, scale):
    spaces, y = data(seed)
    found, moved = fit(spaces, y), fit(spaces, (y + offset) * scale)
    np.testing.assert_allclose(found.fold_split_r2.sum(axis=1), found.fold_r2, atol=1e-12)
    np.testing.assert_allclose(found.split_r2.sum(axis=0), found.r2, atol=1e-12)
    np.testing.assert_allclose(moved.predictions, (found.predictions + offset) * scale, rtol=1e-6)
    same(found, moved, tolerance=1e-8)


@FEW
@given(SEEDS, st.integers(1, 9), st.sampled_from([(3, 4), (20, 30)]))
def test_target_batch_changes_nothing(seed, batch, widths):
    spaces, y = data(seed, widths=widths, targets=7)
    one, other = fit(spaces, y), fit(spaces, y, target_batch=batch)
    same(one, other, tolerance=1e-12)
    np.testing.assert_allclose(one.predictions, other.predictions, atol=1e-12)


@FEW
@given(SEEDS)
def test_the_order_of_spaces_is_the_order_of_results(seed):
    spaces, y = data(seed)
    one = fit(spaces, y, ratios=RATIOS)
    other = fit(dict(reversed(spaces.items())), y, ratios=RATIOS[:, ::-1])
    assert one.spaces == ("A", "B") and other.spaces == ("B", "A")
    np.testing.assert_allclose(one.r2, other.r2, atol=1e-9)
    for name in ("alone_r2", "without_r2", "split_r2"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name)[::-1], atol=1e-9)


def story(spaces, y):
    n = len(y)
    splits = story_splits(n, folds=3, trim=2)
    return splits, fit_banded(
        spaces,
        y,
        splits,
        inner_splits=lambda train: inner_story_splits(train, folds=3, trim=2),
        alphas=ALPHAS,
        ratios=RATIOS,
        return_predictions=True,
    )


@pytest.mark.parametrize("widths", [(3, 4), (20, 40)])
def test_test_samples_touch_neither_penalties_nor_predictions_of_others(widths):
    spaces, y = data(1, n=60, widths=widths)
    splits, plain = story(spaces, y)
    rng = np.random.default_rng(0)
    for k, split in enumerate(splits):
        outside = np.setdiff1d(np.arange(60), split.train)  # the trimmed volumes as well
        changed_y = y.copy()
        changed_y[outside] = 1e6 * rng.normal(size=(outside.size, 5))
        changed = {name: x.copy() for name, x in spaces.items()}
        changed["A"][split.test[0]] += 1e6
        _, found = story(changed, changed_y)
        np.testing.assert_array_equal(found.log10_penalty[k], plain.log10_penalty[k])
        kept = split.test[1:]
        np.testing.assert_allclose(found.predictions[kept], plain.predictions[kept], rtol=1e-10)
        assert not np.allclose(found.fold_r2[k], plain.fold_r2[k])
        assert not np.allclose(found.predictions[split.test[0]], plain.predictions[split.test[0]])


# ---------------------------------------------------------------- degenerate input


@SOLVERS
def test_constant_targets_are_undefined_and_do_not_change_the_others(solver):
    spaces, y = data()
    splits = item_splits(40, folds=3, seed=0)
    with_constant = np.column_stack([y, np.full(40, 0.1), np.arange(40.0)])
    with_constant[splits[1].test, -1] = 7.0  # constant in one test set
    with_constant[splits[1].train, -1] = np.linspace(-3, 3, splits[1].train.size)
    plain, found = fit(spaces, y, solver=solver), fit(spaces, with_constant, solver=solver)
    np.testing.assert_allclose(found.predictions[:, :5], plain.predictions, atol=1e-10)
    np.testing.assert_allclose(found.predictions[:, 5], 0.1)
    assert np.isnan(found.r2[5]) and np.isnan(found.split_r2[:, 5]).all()
    assert np.isnan(found.log10_penalty[:, :, 5]).all() and np.isnan(found.alpha[:, 5]).all()
    assert not found.alpha_at_edge[:, 5].any()
    assert (np.isnan(found.fold_r2[:, 6]) == [False, True, False]).all()
    assert np.isfinite(found.r2[6])
    np.testing.assert_allclose(found.split_r2[:, 6].sum(), found.r2[6], atol=1e-12)


@SOLVERS
def test_constant_features_and_spaces_have_no_weight(solver):
    spaces, y = data()
    plain = fit(spaces, y, solver=solver)
    more = {"A": np.column_stack([spaces["A"], np.full(40, 0.3)]), "B": spaces["B"]}
    same(plain, fit(more, y, solver=solver))
    found = fit({"A": spaces["A"], "B": np.full((40, 2), 0.3)}, y, solver=solver)
    assert (np.abs(found.split_r2[1]) < 0.2).all()  # half of the error of the mean
    np.testing.assert_allclose(found.fold_without_r2[:, 1], found.fold_alone_r2[:, 0])
    assert (found.fold_alone_r2[:, 1] <= 0).all()


def test_alpha_and_its_edges_are_told():
    spaces, y = data(n=60)
    found = fit(spaces, y)
    assert np.isin(found.alpha, ALPHAS).all()
    np.testing.assert_array_equal(found.alpha_at_edge, np.isin(found.alpha, ALPHAS[[0, -1]]))
    np.testing.assert_allclose((10.0**-found.log10_penalty).sum(axis=1), 1 / found.alpha)
    assert not fit(spaces, y, alphas=[3.0]).alpha_at_edge.any()


# ---------------------------------------------------------------- ratios


@given(st.integers(1, 30), st.floats(0.5, 8))
def test_ratios_of_two_spaces_are_evenly_spaced_and_symmetric(number, decades):
    ratios = ratio_grid(2, number, decades=decades)
    odds = np.sort(np.log10(ratios[:, 0] / ratios[:, 1]))
    expected = [0.0] if number == 1 else np.linspace(-decades, decades, number)
    np.testing.assert_allclose(odds, expected, atol=1e-9)
    np.testing.assert_allclose(ratios.sum(axis=1), 1.0)
    if number % 2:
        np.testing.assert_allclose(ratios[0], 0.5)


@given(st.integers(3, 6), st.integers(1, 30), SEEDS)
def test_ratios_of_more_spaces_are_seeded_draws_on_the_simplex(spaces, number, seed):
    ratios = ratio_grid(spaces, number, decades=3, seed=seed)
    assert ratios.shape == (number, spaces)
    np.testing.assert_allclose(ratios[0], 1 / spaces)
    np.testing.assert_allclose(ratios.sum(axis=1), 1.0)
    assert (ratios.min(axis=1) >= 0.999e-3 * ratios.max(axis=1)).all()
    np.testing.assert_array_equal(ratios, ratio_grid(spaces, number, decades=3, seed=seed))
    if number > 1:
        assert (ratios[1:] != ratio_grid(spaces, number, decades=3, seed=seed + 1)[1:]).any()


def test_ratios_among_some_spaces_lose_their_repeats():
    ratios = check_ratios([[1, 1, 2], [3, 3, 1], [1, 3, 1]], 3)
    np.testing.assert_allclose(ratios_among(ratios, (0, 1)), [[0.5, 0.5], [0.25, 0.75]])
    np.testing.assert_allclose(ratios_among(ratios, (2,)), [[1.0]])


@pytest.mark.parametrize(
    "ratios", [[], [0.5, 0.5], [[1, 0]], [[1, -1]], [[1, np.nan]], [[1, np.inf]], [[1, 1, 1]]]
)
def test_ratios_that_are_not_positive_weights_are_refused(ratios):
    with pytest.raises(ConfigError, match="use ratio_grid"):
        fit(*data(), ratios=ratios)


@pytest.mark.parametrize("wrong", [{"spaces": 1}, {"number": 0}, {"decades": 0.0}])
def test_grids_that_cannot_be_are_refused(wrong):
    with pytest.raises(ConfigError, match="use 2 or more spaces"):
        ratio_grid(**{"spaces": 2, "number": 3, "decades": 2.0, **wrong})


# ---------------------------------------------------------------- faults


def test_one_space_is_sent_to_plain_ridge():
    spaces, y = data()
    options = {"inner_splits": lambda train: [], "alphas": ALPHAS, "ratios": [[1.0]]}
    with pytest.raises(ConfigError, match="use fit_ridge"):
        fit_banded({"A": spaces["A"]}, y, item_splits(40, folds=2, seed=0), **options)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused_with_the_name_of_the_space(bad):
    spaces, y = data()
    spaces["B"][3, 1] = bad
    with pytest.raises(NumericalError, match="space 'B': NaN or infinity in 1 of 4 features"):
        fit(spaces, y)
    spaces, y = data()
    y[0, 2] = bad
    with pytest.raises(NumericalError, match="NaN or infinity in 1 of 5 targets"):
        fit(spaces, y)


def test_samples_that_do_not_belong_together_are_refused():
    spaces, y = data()
    with pytest.raises(DataError, match="space 'B': 39 samples of features and 40 of responses"):
        fit({"A": spaces["A"], "B": spaces["B"][:39]}, y)
    with pytest.raises(DataError, match="space 'A': array of shape"):
        fit({"A": spaces["A"][:, 0], "B": spaces["B"]}, y)
    with pytest.raises(DataError, match=r"\(sample, target\)"):
        fit(spaces, y[:, 0])


def test_bad_options_are_refused():
    spaces, y = data()
    with pytest.raises(ConfigError, match="target_batch is 0"):
        fit(spaces, y, target_batch=0)
    with pytest.raises(ConfigError, match="solver 'svd'"):
        fit(spaces, y, solver="svd")
    with pytest.raises(ConfigError, match="inner folds use rows outside"):
        fit(spaces, y, inner_splits=lambda train: item_splits(40, folds=2, seed=0))
    first = item_splits(40, folds=2, seed=0)[0]
    options = {"inner_splits": lambda train: [], "alphas": ALPHAS, "ratios": RATIOS}
    with pytest.raises(ConfigError, match="test sets overlap"):
        fit_banded(spaces, y, [first, first], return_predictions=True, **options)
    with pytest.raises(ConfigError, match="there is no fold"):
        fit_banded(spaces, y, [first], **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_is_never_replaced_by_the_cpu():
    with pytest.raises(DeviceError, match="no usable CUDA GPU"):
        fit(*data(), device="cuda")


@SOLVERS
def test_the_batch_is_halved_when_memory_runs_out(solver, monkeypatch):
    import himalaya.kernel_ridge
    import himalaya.ridge

    module, name = {
        "primal": (himalaya.ridge, "solve_group_ridge_random_search"),
        "dual": (himalaya.kernel_ridge, "solve_multiple_kernel_ridge_random_search"),
    }[solver]
    real, tried, room = getattr(module, name), [], [2]

    def small(*args, n_targets_batch, **options):
        tried.append(n_targets_batch)
        if n_targets_batch > room[0]:
            raise torch.OutOfMemoryError("planted")
        return real(*args, n_targets_batch=n_targets_batch, **options)

    spaces, y = data()
    plain = fit(spaces, y, solver=solver)
    monkeypatch.setattr(module, name, small)
    same(plain, fit(spaces, y, solver=solver), tolerance=1e-12)
    assert tried[:2] == [4096, 2]
    room[0] = 0
    with pytest.raises(DeviceError, match="out of GPU memory with one target: planted"):
        fit(spaces, y, solver=solver)


# ---------------------------------------------------------------- himalaya's global backend


@pytest.fixture
def backend():
    from himalaya.backend import get_backend, set_backend

    before = get_backend()
    yield lambda: get_backend().name
    set_backend(before)


@pytest.mark.parametrize("mine", ["numpy", "torch"])
def test_the_backend_is_restored_also_on_error(backend, mine, monkeypatch):
    import himalaya.ridge
    from himalaya.backend import set_backend

    set_backend(mine)
    with himalaya_backend(torch.device("cpu")):
        assert backend() == "torch"
    assert backend() == mine
    fit(*data())
    assert backend() == mine

    def fail(*args, **options):
        assert backend() == "torch"
        raise FloatingPointError("planted")

    monkeypatch.setattr(himalaya.ridge, "solve_group_ridge_random_search", fail)
    with pytest.raises(FloatingPointError, match="planted"):
        fit(*data())
    assert backend() == mine


def test_himalaya_is_imported_only_to_fit():
    code = (
        "import sys, convergent.alignment.banded; "
        "sys.exit(any(name.startswith('himalaya') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
