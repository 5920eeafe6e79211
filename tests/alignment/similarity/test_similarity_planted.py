"""A latent that features and responses share is found, the more surely the more stimuli."""

import numpy as np
import pytest

from convergent.alignment import item_orders
from convergent.alignment.similarity import calibrate, compare, similarity_names

REGIONS, TARGETS = 16, 15
REGION_INDEX = np.repeat(np.arange(REGIONS), TARGETS)
METRICS = {
    **dict.fromkeys(similarity_names()),
    "cka_rbf": {"scales": [0.5, 1.0, 2.0]},
    "cka_rbf_biased": {"scales": [0.5, 1.0, 2.0]},
    "knn": {"k": 5},
}


def planted(n, strength, seed):
    """Even regions see the latent; odd ones see noise only."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 3))
    x = latent @ rng.normal(size=(3, 40)) + rng.normal(size=(n, 40))
    y = 3 * rng.normal(size=(n, REGIONS * TARGETS))
    seen = REGION_INDEX % 2 == 0
    y[:, seen] += strength * latent @ rng.normal(size=(3, seen.sum()))
    return x, y


def p_values(n, strength, seed=0):
    x, y = planted(n, strength, seed)
    orders = item_orders(n, permutations=60, seed=seed)
    found = compare(x, y, REGION_INDEX, REGIONS, METRICS, permutations=orders)
    return {metric: calibrate(s.score, s.null).p for metric, s in found.items()}


@pytest.fixture(scope="module")
def strong():
    return [p_values(60, 2.0, seed) for seed in range(8)]


@pytest.fixture(scope="module")
def weak():
    return [[p_values(n, 0.47, seed) for seed in range(3)] for n in (16, 40, 90)]


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_finds_it_where_it_is(strong, metric):
    found = np.stack([p[metric] for p in strong]) < 0.05
    assert found[..., ::2].all()
    assert found[..., 1::2].mean() < 0.1


@pytest.mark.parametrize("metric", METRICS)
def test_power_rises_with_the_number_of_stimuli(weak, metric):
    few, more, many = (np.mean([p[metric][:, ::2] < 0.05 for p in same_n]) for same_n in weak)
    assert few < more - 0.05
    assert more < many - 0.05


def test_a_better_copy_scores_higher():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 20))
    noise = rng.normal(size=(60, 20))
    y = np.concatenate([x + level * noise for level in (0.0, 0.5, 1.5, 5.0)], axis=1)
    index = np.repeat(np.arange(4), 20)
    for metric, found in compare(x, y, index, 4, dict.fromkeys(similarity_names())).items():
        assert (np.diff(found.score, axis=1) < 0).all(), metric
        np.testing.assert_allclose(found.score[:, 0], 1, atol=1e-5)
