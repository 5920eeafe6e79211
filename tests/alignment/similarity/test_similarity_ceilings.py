"""Noise ceilings of similarity metrics: equations, planted truth, and what is not defined."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.alignment.similarity import (
    Geometry,
    compare,
    rsa_noise_ceiling,
    similarity_ceilings,
    similarity_names,
)
from convergent.errors import DataError, NumericalError

METRICS = {
    **dict.fromkeys(similarity_names()),
    "cka_rbf": {"scales": [0.5, 2.0]},
    "cka_rbf_biased": {"scales": [0.5, 2.0]},
    "knn": {"k": 4},
}
BOUNDED = [name for name in METRICS if name != "knn"]


def brains(subjects, *, n=24, signal=1.0, targets=12, regions=2, seed=0):
    """Subjects who see one latent, each with weights and noise of its own."""
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(n, 4))
    shape = (n, targets * regions)
    made = [
        signal * latent @ rng.normal(size=(4, shape[1])) + rng.normal(size=shape)
        for _ in range(subjects)
    ]
    return latent, made, [np.repeat(np.arange(regions), targets)] * subjects


def score(one, other, metric):
    """Score of two representations, one a scale."""
    index = np.zeros(other.shape[1], int)
    return compare(one, other, index, 1, {metric: METRICS[metric]}, dtype="float64")[metric].score


def u_centred(y):
    """The entries of the definition, one at a time."""
    k = y - y.mean(0)
    k = k @ k.T
    np.fill_diagonal(k, 0)
    n = len(k)
    row = k.sum(1)
    made = k - row[:, None] / (n - 2) - row / (n - 2) + k.sum() / ((n - 1) * (n - 2))
    vector = made[~np.eye(n, dtype=bool)]
    return vector / np.linalg.norm(vector)


def test_bounds_of_cka_are_those_of_its_definition():
    _, made, index = brains(4)
    found = similarity_ceilings(made, index, 2, {"cka": None})["cka"]
    for region in range(2):
        v = np.stack([u_centred(y[:, index[0] == region]) for y in made])
        others = v.sum(0) - v
        others /= np.linalg.norm(others, axis=1, keepdims=True)
        mean = v.mean(0) / np.linalg.norm(v.mean(0))
        assert found.lower[0, region] == pytest.approx((others * v).sum(1).mean(), abs=1e-12)
        assert found.upper[0, region] == pytest.approx((v @ mean).mean(), abs=1e-12)


@pytest.mark.parametrize("comparison", ["spearman", "pearson", "cosine", "whitened"])
def test_bounds_of_rsa_are_those_of_the_rdms(comparison):
    _, made, index = brains(3)
    name = f"rsa_{comparison}"
    found = similarity_ceilings(made, index, 2, {name: None})[name]
    upper = np.triu_indices(len(made[0]), 1)
    for region in range(2):
        rdms = [1 - np.corrcoef(y[:, index[0] == region])[upper] for y in made]
        expected = rsa_noise_ceiling(rdms, comparison)
        np.testing.assert_allclose([found.lower[0, region], found.upper[0, region]], expected)


@pytest.mark.parametrize("metric", METRICS)
def test_the_lower_bound_of_two_subjects_is_their_score(metric):
    _, made, index = brains(2, regions=1)
    found = similarity_ceilings(made, index, 1, {metric: METRICS[metric]})[metric]
    np.testing.assert_allclose(found.lower, score(*made, metric), atol=1e-12)


def test_the_ceiling_of_knn_is_the_mean_over_pairs_of_subjects():
    _, made, index = brains(4, regions=1)
    found = similarity_ceilings(made, index, 1, {"knn": {"k": 4}})["knn"]
    pairs = [score(one, other, "knn").item() for one, other in combinations(made, 2)]
    assert found.lower.item() == pytest.approx(np.mean(pairs), abs=1e-12)
    assert np.isnan(found.upper).all()


@pytest.mark.parametrize("metric", METRICS)
def test_the_ceiling_rises_with_the_signal(metric):
    levels = []
    for signal in (0.0, 0.5, 3.0):
        _, made, index = brains(5, signal=signal, n=40)
        levels.append(similarity_ceilings(made, index, 2, {metric: METRICS[metric]})[metric])
    lower = np.stack([found.lower for found in levels])
    assert (np.diff(lower, axis=0) > 0.005).all()
    if metric != "knn":
        assert (lower <= np.stack([found.upper for found in levels])).all()


@pytest.mark.parametrize("metric", ["cka", "rsa_pearson", "rsa_spearman"])
def test_a_model_that_is_what_subjects_share_scores_near_the_bounds(metric):
    """Without weights of their own, subjects are the common signal with noise."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=(60, 30))
    made = [common + 1.5 * rng.normal(size=common.shape) for _ in range(8)]
    found = similarity_ceilings(made, [np.zeros(30, int)] * 8, 1, {metric: None})[metric]
    model = np.mean([score(common, y, metric).item() for y in made])
    unrelated = np.mean([score(rng.normal(size=(60, 30)), y, metric).item() for y in made])
    assert found.lower.item() < model < found.upper.item() + 0.02
    assert unrelated < found.lower.item() - 0.1


@settings(deadline=None, max_examples=20)
@given(subjects=st.integers(2, 5), seed=st.integers(0, 2**16), signal=st.floats(0, 3))
def test_bounds_are_in_order_and_do_not_depend_on_the_subjects_order(subjects, seed, signal):
    _, made, index = brains(subjects, n=12, regions=1, signal=signal, seed=seed)
    found = similarity_ceilings(made, index, 1, METRICS)
    backwards = similarity_ceilings(made[::-1], index, 1, METRICS)
    for metric in METRICS:
        np.testing.assert_allclose(found[metric].lower, backwards[metric].lower, atol=1e-10)
    for metric in BOUNDED:
        assert (found[metric].lower <= found[metric].upper + 1e-12).all()
        assert (found[metric].upper <= 1 + 1e-12).all()


def test_equal_subjects_leave_no_room():
    _, made, index = brains(1)
    found = similarity_ceilings(made * 3, index * 3, 2, METRICS)
    for metric, bounds in found.items():
        np.testing.assert_allclose(bounds.lower, 1, atol=1e-12)
        if metric != "knn":
            np.testing.assert_allclose(bounds.upper, 1, atol=1e-12)


def test_a_region_of_which_one_subject_says_nothing_is_not_defined():
    _, made, index = brains(3, regions=3)
    made[1] = np.where(index[1] == 1, 5.0, made[1])  # constant
    lacking = np.where(index[2] == 2, -1, index[2])
    found = similarity_ceilings(made, [index[0], index[1], lacking], 3, METRICS)
    for metric, bounds in found.items():
        assert np.isnan(bounds.lower[:, 1:]).all(), metric
        assert np.isnan(bounds.upper[:, 1:]).all(), metric
        assert np.isfinite(bounds.lower[:, 0]).all(), metric


def test_one_subject_has_no_ceiling_but_its_scales():
    _, made, index = brains(1)
    found = similarity_ceilings(made, index, 2, METRICS)
    assert list(found) == list(METRICS)
    for metric, bounds in found.items():
        scales = [0.5, 2.0] if "rbf" in metric else [np.nan]
        np.testing.assert_array_equal(bounds.scales, scales)
        assert bounds.lower.shape == bounds.upper.shape == (len(scales), 2)
        assert np.isnan(bounds.lower).all() and np.isnan(bounds.upper).all()


def test_little_memory_makes_geometries_anew_and_changes_nothing(monkeypatch):
    _, made, index = brains(3)
    plenty = similarity_ceilings(made, index, 2, METRICS)
    calls = []
    of = Geometry.of
    monkeypatch.setattr(Geometry, "of", lambda *a, **k: calls.append(1) or of(*a, **k))
    little = similarity_ceilings(made, index, 2, METRICS, memory=1)
    scales = sum(bounds.scales.size for bounds in plenty.values())
    assert len(calls) == 1 + 3 * 2 * scales
    for metric in METRICS:
        np.testing.assert_array_equal(plenty[metric].lower, little[metric].lower)
        np.testing.assert_array_equal(plenty[metric].upper, little[metric].upper)


def test_mistakes_are_refused():
    _, made, index = brains(2)
    with pytest.raises(DataError, match="0 subjects"):
        similarity_ceilings([], [], 2, METRICS)
    with pytest.raises(DataError, match="2 subjects and region indices of 1"):
        similarity_ceilings(made, index[:1], 2, METRICS)
    with pytest.raises(DataError, match="24 stimuli of features and 20 of responses"):
        similarity_ceilings([made[0], made[1][:20]], index, 2, METRICS)
    made[1][0, 0] = np.nan
    with pytest.raises(NumericalError):
        similarity_ceilings(made, index, 2, METRICS)
    with pytest.raises(DataError, match="3 stimuli, and cka needs at least 4"):
        similarity_ceilings([y[1:4] for y in made], index, 2, {"cka": None})
