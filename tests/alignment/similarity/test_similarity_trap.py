"""Unrelated data score nothing: the debiased metrics by themselves, the others once calibrated."""

import itertools

import numpy as np
import pytest

from convergent.alignment import item_orders
from convergent.alignment.similarity import calibrate, calibrate_maximum, compare

N, REGIONS_A_SIZE = 80, 25
SIZES = [5] * REGIONS_A_SIZE + [50] * REGIONS_A_SIZE + [300] * REGIONS_A_SIZE
REGION_INDEX = np.repeat(np.arange(len(SIZES)), SIZES)
WIDTHS = (32, 512, 2048)
LINEAR_AND_RBF = dict.fromkeys(["cka", "cka_rbf", "cka_biased", "cka_rbf_biased"])


def power_law(rng, width):
    """Dimensions with variance 1 / rank, as in brains and models."""
    return rng.normal(size=(N, width)) / np.sqrt(np.arange(1, width + 1))


@pytest.fixture(scope="module")
def unrelated():
    """Scores, calibrated scores and p, each (scale, repetition and region), by width and metric."""
    found = {}
    for width in WIDTHS:
        for repetition in range(4):
            rng = np.random.default_rng((width, repetition))
            x = power_law(rng, width)
            y = np.concatenate([power_law(rng, size) for size in SIZES], axis=1)
            orders = item_orders(N, permutations=19, seed=repetition)
            scores = compare(x, y, REGION_INDEX, len(SIZES), LINEAR_AND_RBF, permutations=orders)
            for metric, values in scores.items():
                calibrated = calibrate(values.score, values.null)
                three = (values.score, calibrated.score, calibrated.p)
                found.setdefault((width, metric), []).append(three)
    return {key: np.concatenate(threes, axis=-1) for key, threes in found.items()}


@pytest.mark.parametrize("metric", ["cka", "cka_rbf"])
def test_debiased_cka_is_zero_at_every_bandwidth_and_width(unrelated, metric):
    for width in WIDTHS:
        assert np.abs(unrelated[width, metric][:2].mean(axis=-1)).max() < 0.005


@pytest.mark.parametrize("metric", LINEAR_AND_RBF)
def test_calibrated_cka_is_zero_at_every_bandwidth_and_width(unrelated, metric):
    for width in WIDTHS:
        assert np.abs(unrelated[width, metric][1].mean(axis=-1)).max() < 0.005


@pytest.mark.parametrize("metric", LINEAR_AND_RBF)
def test_five_percent_of_unrelated_regions_have_p_of_five_percent(unrelated, metric):
    p = np.stack([unrelated[width, metric][2] for width in WIDTHS])
    assert 0.03 < (p < 0.051).mean() < 0.07
    assert 0.45 < p.mean() < 0.6


@pytest.mark.parametrize("metric", ["cka_biased", "cka_rbf_biased"])
def test_biased_cka_finds_alignment_that_grows_with_width_and_region(unrelated, metric):
    raw = [unrelated[width, metric][0] for width in WIDTHS]
    assert min(scores.mean(axis=-1).min() for scores in raw) > 0.05
    assert (raw[-1].mean(axis=-1) - raw[0].mean(axis=-1)).max() > 0.05
    assert raw[0].mean() < raw[1].mean() < raw[2].mean()
    by_size = raw[-1].mean(axis=0).reshape(-1, 3, REGIONS_A_SIZE).mean(axis=(0, 2))
    assert (np.diff(by_size) > 0.02).all()


@pytest.mark.parametrize(
    ("metric", "chance"),
    [("cka", 0), ("cka_rbf", 0), ("rsa_pearson", 0), ("rsa_spearman", 0), ("knn", 2 / 5)],
)
def test_mean_over_all_permutations_is_exactly_chance(metric, chance):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 9)) ** 3, rng.normal(size=(6, 4)) ** 3 + 2
    orders = list(itertools.permutations(range(6)))
    options = {"knn": {"k": 2}}.get(metric)
    found = compare(
        x, y, np.zeros(4, int), 1, {metric: options}, permutations=orders, dtype="float64"
    )
    np.testing.assert_allclose(found[metric].null.mean(axis=0), chance, atol=1e-12)


@pytest.mark.parametrize("metric", ["rsa_cosine", "rsa_whitened", "knn"])
def test_metrics_that_are_not_zero_by_chance_are_once_calibrated(metric):
    rng = np.random.default_rng(5)
    x, y = power_law(rng, 512), np.concatenate([power_law(rng, 20) for _ in range(120)], axis=1)
    found = compare(
        x,
        y,
        np.repeat(np.arange(120), 20),
        120,
        {metric: None},
        permutations=item_orders(N, permutations=100, seed=0),
    )[metric]
    assert found.score.mean() > 0.08
    assert abs(calibrate(found.score, found.null).score.mean()) < 0.01


def test_maximum_over_layers_is_high_by_chance_and_calibrated_is_not():
    rng = np.random.default_rng(2)
    y = np.concatenate([power_law(rng, 20) for _ in range(60)], axis=1)
    orders = item_orders(N, permutations=100, seed=0)
    index = np.repeat(np.arange(60), 20)
    layers = [
        compare(power_law(rng, 64), y, index, 60, {"cka": None}, permutations=orders)["cka"]
        for _ in range(12)
    ]
    score = np.stack([layer.score[0] for layer in layers])
    null = np.stack([layer.null[:, 0] for layer in layers], axis=1)
    best = calibrate_maximum(score, null)
    assert score.max(axis=0).mean() > 3 * abs(best.score.mean())
    assert abs(best.score.mean()) < 0.005
    assert 0.35 < best.p.mean() < 0.65
    assert calibrate(score.max(axis=0), null[:, 0]).p.mean() < 0.2  # what forgetting it would say
