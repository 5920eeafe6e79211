"""Planted truth is found, and permuted responses give nothing."""

import numpy as np
import pytest

from convergent.alignment import (
    alpha_grid,
    choose_layers,
    fit_ridge,
    inner_story_splits,
    item_orders,
    item_splits,
    region_means,
    story_orders,
    story_splits,
)

ALPHAS = alpha_grid(-1, 5, 7)


def planted(n=400, p=20, targets=30, snr=1.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    signal = x @ rng.normal(size=(p, targets)) / np.sqrt(p)
    signal /= signal.std(axis=0)
    return x, np.sqrt(snr) * signal + rng.normal(size=(n, targets))


def items(x, y, **options):
    splits = item_splits(len(x), folds=4, seed=0)
    return fit_ridge(x, y, splits, design="items", alphas=ALPHAS, **options)


@pytest.mark.parametrize("snr", [0.25, 1.0, 4.0])
def test_r_reaches_the_ceiling_of_the_planted_noise(snr):
    found = items(*planted(snr=snr))
    ceiling = np.sqrt(snr / (1 + snr))
    assert found.r.mean() == pytest.approx(ceiling, abs=0.05)
    assert found.inner_r.mean() == pytest.approx(ceiling, abs=0.05)


def test_only_targets_with_signal_score():
    x, y = planted()
    y[:, 15:] = np.random.default_rng(9).normal(size=(400, 15))
    found = items(x, y)
    assert found.r[:15].min() > 0.5 and np.abs(found.r[15:]).max() < 0.2
    assert (found.alpha[:, 15:].mean(axis=0) > found.alpha[:, :15].max()).all()


def test_null_of_items_equals_refitting_permuted_responses():
    x, y = planted(n=60, targets=5)
    orders = item_orders(60, permutations=4, seed=1)
    regions = np.array([0, 1, 1, 0, -1])
    found = items(x, y, permutations=orders, target_batch=7)
    reduced = items(x, y, permutations=orders, region_index=regions)
    assert found.null_fold_r.shape == (4, 4, 5) and reduced.null_fold_r.shape == (4, 4, 2)
    for p, order in enumerate(orders):
        again = items(x, y[order])
        np.testing.assert_allclose(found.null_fold_r[p], again.fold_r, atol=1e-10)
        np.testing.assert_allclose(found.null_inner_r[p], again.inner_r, atol=1e-10)
        means = region_means(again.inner_r, regions, 2)
        np.testing.assert_allclose(reduced.null_inner_r[p], means, atol=1e-10)


def test_null_is_centred_on_zero_and_below_the_signal():
    x, y = planted(targets=40)
    found = items(x, y, permutations=item_orders(400, permutations=20, seed=0))
    assert abs(found.null_fold_r.mean()) < 0.02
    assert abs(found.null_inner_r.mean()) < 0.03
    assert found.null_fold_r.mean(axis=1).max() < found.r.min()


def test_circular_shifts_break_the_alignment_of_a_story():
    x, y = planted(n=200, targets=20)
    splits = story_splits(200, folds=4, trim=5)
    found = fit_ridge(
        x,
        y,
        splits,
        design="story",
        alphas=ALPHAS,
        inner_splits=lambda train: inner_story_splits(train, folds=3, trim=5),
        permutations=story_orders(200, permutations=20, minimum=10, seed=0),
    )
    assert found.r.mean() > 0.6
    assert abs(found.null_fold_r.mean()) < 0.02


def test_maximum_over_layers_is_biased_and_the_nested_choice_is_not():
    rng = np.random.default_rng(0)
    y = rng.normal(size=(80, 40))
    layers = [items(rng.normal(size=(80, 10)), y) for _ in range(12)]
    outer = np.stack([layer.fold_r for layer in layers])
    inner = np.stack([layer.inner_r for layer in layers])
    naive = outer.mean(axis=1).max(axis=0).mean()
    nested = choose_layers(inner, outer).score.mean()
    assert naive > 0.1
    assert abs(nested) < 0.04


def test_choice_finds_the_planted_layer_and_the_null_makes_the_same_choice():
    x, y = planted(n=120, targets=6, snr=0.5)
    regions = np.array([0, 0, 0, 1, 1, 1])
    orders = item_orders(120, permutations=10, seed=0)
    rng = np.random.default_rng(5)
    depth = [rng.normal(size=x.shape), x, x + 2 * rng.normal(size=x.shape)]
    fits = [items(layer, y, permutations=orders, region_index=regions) for layer in depth]
    choice = choose_layers(
        np.stack([region_means(f.inner_r, regions, 2) for f in fits]),
        np.stack([region_means(f.fold_r, regions, 2) for f in fits]),
    )
    null = choose_layers(
        np.stack([f.null_inner_r for f in fits], axis=1),
        np.stack([f.null_fold_r for f in fits], axis=1),
    )
    assert (choice.layer == 1).all()
    assert null.score.shape == (10, 2) and (choice.score > null.score.max(axis=0)).all()


def test_single_precision_agrees_with_double():
    x, y = planted(n=100, targets=8)
    one, other = items(x, y), items(x, y, dtype="float32")
    np.testing.assert_allclose(other.fold_r, one.fold_r, atol=1e-4)
    np.testing.assert_allclose(other.inner_r, one.inner_r, atol=1e-4)
