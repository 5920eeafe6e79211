"""Unique variance against a direct solution, planted truth, and what it refuses."""

import numpy as np
import pytest

from convergent.alignment import (
    Split,
    alpha_grid,
    fit_banded,
    fit_ridge,
    fit_unique,
    inner_item_splits,
    inner_story_splits,
    item_splits,
    ratio_grid,
    story_splits,
)
from convergent.errors import ConfigError, DataError, NumericalError

ALPHAS = alpha_grid(-1, 8, 10)
N = 300


def inner(train):
    return inner_story_splits(train, folds=4, trim=3)


STORY = {"inner_splits": inner, "alphas": ALPHAS, "nuisance_alphas": ALPHAS[::3]}
SPLITS = story_splits(N, folds=4, trim=3)


def series(columns, seed, n=N):
    """Smooth columns, as those of a story are."""
    white = np.random.default_rng(seed).normal(size=(n + 8, columns))
    return np.stack([white[k : k + n] for k in range(8)]).mean(0) * np.sqrt(8)


def direct(x, n, y, split, inner_splits, alphas, nuisance_alphas):
    """Both fits by one stacked least-squares problem each, one target at a time."""

    def scaled(values, rows):
        return (values - values[rows].mean(0)) / values[rows].std(0)

    x, n = scaled(x, split.train), scaled(n, split.train)

    def predict(one, a, b):
        """Minimise |y - N w - X v|^2 + a |w|^2 + b |v|^2 on centred rows; b None: no X."""
        blocks = [n] if b is None else [n, x]
        z = np.hstack(blocks)
        mean, centre = z[one.train].mean(0), y[one.train].mean()
        penalty = np.concatenate(
            [np.full(v.shape[1], p) for v, p in zip(blocks, (a, b), strict=False)]
        )
        rows = np.vstack([z[one.train] - mean, np.diag(np.sqrt(penalty))])
        target = np.r_[y[one.train] - centre, np.zeros(len(penalty))]
        w = np.linalg.lstsq(rows, target, rcond=None)[0]
        return centre + (z[one.test] - mean) @ w

    def error(a, b):
        return sum(np.mean((y[one.test] - predict(one, a, b)) ** 2) for one in inner_splits)

    a = min(nuisance_alphas, key=lambda a: error(a, None))
    b = min(alphas, key=lambda b: error(a, b))
    truth = y[split.test]
    total = np.sum((truth - truth.mean()) ** 2)
    base, joint = predict(split, a, None), predict(split, a, b)
    return {
        "nuisance_alpha": a,
        "alpha": b,
        "nuisance_r2": 1 - np.sum((truth - base) ** 2) / total,
        "joint_r2": 1 - np.sum((truth - joint) ** 2) / total,
        "partial_r": np.corrcoef(truth - base, joint - base)[0, 1],
    }


@pytest.mark.parametrize("width", [12, 400])
def test_both_fits_are_those_of_one_stacked_least_squares_problem(width):
    nuisance, features = series(5, 1), series(width, 2)
    rng = np.random.default_rng(3)
    y = np.column_stack(
        [
            nuisance[:, 0] + features[:, 0] + rng.normal(size=N),
            features[:, :3].sum(1) + 3 * rng.normal(size=N),
            nuisance @ [1, 1, 1, 1, 1] + 2 * rng.normal(size=N),
        ]
    )
    few = ALPHAS[1::3]
    found = fit_unique(
        features, nuisance, y, SPLITS[:2], inner_splits=inner, alphas=few, nuisance_alphas=few
    )
    for f, split in enumerate(SPLITS[:2]):
        for t in range(3):
            expected = direct(features, nuisance, y[:, t], split, inner(split.train), few, few)
            for name, value in expected.items():
                np.testing.assert_allclose(getattr(found, name)[f, t], value, rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(
                found.unique[f, t], expected["joint_r2"] - expected["nuisance_r2"], atol=1e-8
            )


def planted(seed):
    """A rate that drives the brain, a signal of the model's own, and what both carry."""
    rate, own, shared = series(1, seed), series(1, seed + 100), series(1, seed + 200)
    noise = np.random.default_rng(seed + 300).normal(size=(N, 3))
    y = np.hstack([rate, rate + own, shared]) + noise
    nuisance = np.hstack([rate, shared])
    mixing = np.random.default_rng(0).normal(size=(3, 20))
    return nuisance, np.hstack([rate, own, shared]) @ mixing, rate @ mixing[:1], y


def test_planted_parts_are_recovered_and_none_is_counted_twice():
    """Variances are 1 each: of target 1 a third is the model's own, of the others nothing."""
    scores = []
    for seed in range(8):
        nuisance, model, only_rate, y = planted(seed)
        full = fit_unique(model, nuisance, y, SPLITS, **STORY)
        rate = fit_unique(only_rate, nuisance, y, SPLITS, **STORY)
        scores.append([full.mean("unique"), rate.mean("unique"), full.mean("nuisance_r2")])
    unique, of_rate, alone = np.mean(scores, axis=0)
    assert abs(unique[0]) < 0.02 and abs(unique[2]) < 0.02
    assert 0.26 < unique[1] < 0.38
    np.testing.assert_allclose(of_rate, 0, atol=0.01)
    # within short folds a slow rate has less of the variance than over the run
    assert alone.min() > 0.2 and alone.max() < 0.55


def test_a_model_of_noise_adds_nothing_on_average_however_wide():
    added = []
    for seed in range(6):
        nuisance, _, _, y = planted(seed)
        found = fit_unique(series(600, seed + 50), nuisance, y, SPLITS, **STORY)
        added.append(found.mean("unique"))
    assert -0.04 < np.mean(added) < 0.01


def test_banded_ridge_agrees_on_what_is_unique():
    """Another solver, which searches both penalties at once."""
    nuisance, model, _, y = planted(3)
    found = fit_unique(model, nuisance, y, SPLITS, **STORY)
    banded = fit_banded(
        {"nuisance": nuisance, "model": model},
        y,
        SPLITS,
        inner_splits=inner,
        alphas=ALPHAS,
        ratios=ratio_grid(2, number=25, seed=0),
    )
    other = banded.partition.unique[list(banded.spaces).index("model")]
    np.testing.assert_allclose(found.mean("unique"), other, atol=0.04)


def test_without_use_of_the_nuisance_the_model_scores_as_ridge_does():
    """Regressors that are constant leave nothing to partial out."""
    _, model, _, y = planted(2)
    found = fit_unique(model, np.ones((N, 2)), y, SPLITS, **STORY)
    plain = fit_ridge(model, y, SPLITS, design="story", alphas=ALPHAS, inner_splits=inner)
    np.testing.assert_allclose(found.joint_r2, plain.fold_r2, atol=1e-9)
    np.testing.assert_allclose(found.alpha, plain.alpha)
    np.testing.assert_allclose(found.mean("partial_r"), plain.r, atol=1e-9)
    # the mean of the training samples is no better than that of the test samples
    assert (found.nuisance_r2 <= 0).all()


def test_nothing_but_training_samples_decides():
    """Other test responses change test scores, and nothing that was fitted."""
    nuisance, model, _, y = planted(1)
    split = SPLITS[1]
    changed = y.copy()
    changed[split.test] = 50 * np.random.default_rng(0).normal(size=changed[split.test].shape)
    first, second = (fit_unique(model, nuisance, z, [split], **STORY) for z in (y, changed))
    for name in ("alpha", "nuisance_alpha", "inner_unique"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    assert not np.allclose(first.joint_r2, second.joint_r2)


def test_scale_and_offset_of_nuisance_and_features_do_not_matter():
    nuisance, model, _, y = planted(4)
    first = fit_unique(model, nuisance, y, SPLITS, **STORY)
    second = fit_unique(model * 1e3 + 5, nuisance * 1e-9 - 2e-8, y, SPLITS, **STORY)
    np.testing.assert_allclose(first.unique, second.unique, atol=1e-7)


def test_items_in_any_order():
    rng = np.random.default_rng(0)
    ids = np.array([f"i{k}" for k in range(120)])
    nuisance, x = rng.normal(size=(120, 2)), rng.normal(size=(120, 10))
    y = nuisance[:, :1] + x[:, :1] + rng.normal(size=(120, 1))
    order = rng.permutation(120)

    def scores(rows):
        named = ids[rows]
        return fit_unique(
            x[rows], nuisance[rows], y[rows], item_splits(named, folds=4, seed=0),
            inner_splits=lambda train: inner_item_splits(train, named, folds=3, seed=0),
            alphas=ALPHAS, nuisance_alphas=ALPHAS,
        )  # fmt: skip

    first, second = scores(np.arange(120)), scores(order)
    np.testing.assert_allclose(first.unique, second.unique, atol=1e-10)
    assert first.mean("unique")[0] > 0.2


def test_constant_targets_are_not_defined():
    nuisance, model, _, y = planted(0)
    y[:, 1] = 3.0
    found = fit_unique(model, nuisance, y, SPLITS, **STORY)
    assert np.isnan(found.unique[:, 1]).all() and np.isnan(found.inner_unique[:, 1]).all()
    assert np.isfinite(found.unique[:, 0]).all()


def test_what_is_wrong_is_named():
    nuisance, model, _, y = planted(0)
    with pytest.raises(DataError, match=r"nuisance \(299, 2\)"):
        fit_unique(model, nuisance[1:], y, SPLITS, **STORY)
    with pytest.raises(NumericalError, match="nuisance"):
        fit_unique(model, np.where(nuisance > 1, np.nan, nuisance), y, SPLITS, **STORY)
    with pytest.raises(NumericalError, match="responses"):
        fit_unique(model, nuisance, np.where(y > 1, np.inf, y), SPLITS, **STORY)
    with pytest.raises(ConfigError, match="increasing"):
        fit_unique(model, nuisance, y, SPLITS, **{**STORY, "nuisance_alphas": [1.0, 1.0]})
    with pytest.raises(ConfigError):
        fit_unique(model, nuisance, y, [Split(np.arange(9), np.arange(5, 12))], **STORY)


def test_tiles_of_targets_and_responses_on_disk_change_nothing():
    nuisance, model, _, y = planted(0)
    y = np.concatenate([y, y[:, ::-1] * 2.0 + 1.0], axis=1)
    whole = fit_unique(model, nuisance, y, SPLITS, **STORY)

    class Slices:
        """Targets read in slices, and no more than a tile of them at once."""

        shape, most = y.shape, 0

        def __getitem__(self, key):
            part = y[key]
            Slices.most = max(Slices.most, part.shape[1])
            return part

    tiled = fit_unique(model, nuisance, Slices(), SPLITS, **STORY, tile=2)
    assert Slices.most == 2
    for name in ("unique", "nuisance_r2", "joint_r2", "partial_r", "inner_unique"):
        np.testing.assert_allclose(getattr(tiled, name), getattr(whole, name), atol=1e-10)
    np.testing.assert_array_equal(tiled.alpha, whole.alpha)
