"""Degenerate input has a defined result, without a warning."""

import dataclasses

import numpy as np
import pytest
import torch

from convergent.alignment import Problem, item_orders
from convergent.alignment.similarity import Geometry, compare, compare_subjects, similarity_names
from convergent.alignment.similarity.geometry import PairIndex
from convergent.errors import ConfigError, DataError, NumericalError

N = 15  # not a power of two: the mean of equal numbers then has rounding error
CKA = [name for name in similarity_names() if name.startswith("cka")]
REST = [name for name in similarity_names() if not name.startswith("cka")]
ALL = {**dict.fromkeys(similarity_names()), "knn": {"k": 3}}


def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 6)), rng.normal(size=(N, 8))


def scores(x, y, index=None, regions=1, **options):
    index = np.zeros(y.shape[1], int) if index is None else index
    return compare(x, y, index, regions, ALL, dtype="float64", **options)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, 1e6 + 0.1])
@pytest.mark.parametrize("side", ["features", "responses"])
def test_constant_stimuli_have_no_score(value, side):
    x, y = data()
    pattern = value * np.arange(1, 6) / 3
    constant = np.tile(pattern, (N, 1))
    orders = item_orders(N, permutations=2, seed=0)
    x, y = (constant, y) if side == "features" else (x, constant)
    for found in scores(x, y, permutations=orders, halves=None).values():
        assert np.isnan(found.score).all() and np.isnan(found.null).all()


def test_features_constant_within_one_half_have_no_score_there():
    x, y = data()
    x[:8] = 1000.1 + np.arange(6)
    for found in scores(x, y, halves=[np.arange(8), np.arange(8, N)]).values():
        assert np.isnan(found.half_score[0]).all()
        assert np.isfinite(found.half_score[1]).all()
        assert np.isfinite(found.score).all()


def test_an_empty_region_has_no_score_and_leaves_the_others_alone():
    x, y = data()
    found = scores(x, y, index=np.array([0] * 4 + [2] * 4), regions=4)
    for metric, values in found.items():
        assert np.isnan(values.score[:, [1, 3]]).all(), metric
        assert np.isfinite(values.score[:, [0, 2]]).all()


def test_a_region_of_one_target_has_cka_only():
    x, y = data()
    found = scores(x, y[:, :1])
    assert all(np.isfinite(found[metric].score).all() for metric in CKA)
    assert all(np.isnan(found[metric].score).all() for metric in REST)
    assert found["cka_biased"].score.item() > 0


def test_a_pattern_that_is_constant_over_features_has_no_correlation():
    x, y = data()
    x[3] = 0.1
    found = scores(x, y)
    for metric, values in found.items():
        assert np.isnan(values.score).all() == metric.startswith("rsa")
    x[3] = 0
    assert np.isnan(scores(x, y)["knn"].score).all()


def test_constant_features_among_others_change_no_cka():
    x, y = data()
    wide = np.column_stack([x, np.full((N, 3), 7.1)])
    one, other = scores(x, y), scores(wide, y)
    for metric in CKA:
        np.testing.assert_allclose(one[metric].score, other[metric].score, atol=1e-12)


def test_duplicate_stimuli_are_defined():
    x, y = data()
    x[8:] = x[:7]
    for found in scores(x, y).values():
        assert np.isfinite(found.score).all()
    for metric, found in scores(x, x).items():
        if metric != "knn":  # copies compete for the last place there
            np.testing.assert_allclose(found.score, 1, atol=1e-10, err_msg=metric)


def test_more_than_half_of_the_pairs_equal_leave_no_bandwidth():
    x, y = data()
    x[:13] = x[0]
    found = scores(x, y)
    assert np.isnan(found["cka_rbf"].score).all() and np.isnan(found["cka_rbf_biased"].score).all()
    assert np.isfinite(found["cka"].score).all()


def test_copies_are_at_distance_0_whatever_the_product_rounds():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(31, 301)) + 50
    values[:17] = values[0]
    whole = Geometry.of(values, PairIndex(31, torch.device("cpu")))
    rounding = torch.from_numpy(1 + 1e-15 * rng.choice([-1, 1], (31, 31)))
    distances = dataclasses.replace(whole, rest=whole.rest * rounding).squared_distances
    assert (distances[:17, :17] == 0).all()
    assert (distances[17:, :17] > 1).all()


def test_equidistant_stimuli_have_no_debiased_cka():
    _, y = data()
    found = scores(np.eye(N), y)
    assert np.isnan(found["cka"].score).all() and np.isnan(found["cka_rbf"].score).all()
    assert np.isnan(found["rsa_pearson"].score).all()
    assert np.isfinite(found["cka_biased"].score).all()


def shared_neighbours(cosine, k):
    """Neighbours of each stimulus, ties for the last places shared; written as loops."""
    n = len(cosine)
    share = np.zeros((n, n))
    for i in range(n):
        others = [j for j in range(n) if j != i]
        last = sorted((cosine[i, j] for j in others), reverse=True)[k - 1]
        near = [j for j in others if cosine[i, j] > last + 1e-9]
        tied = [j for j in others if abs(cosine[i, j] - last) <= 1e-9]
        share[i, near] = 1
        share[i, tied] = (k - len(near)) / len(tied)
    return share


def cosines(x):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit @ unit.T


def test_neighbours_at_equal_distance_share_the_places():
    x = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1.0]])
    y = np.array([[1, 0.0], [1, 0.1], [1, 0.2], [1, 0.3], [1, 0.4]])
    # x: each of the first four has three equal neighbours, the last has four. y, by angle:
    # 0->1, 1->2, 2->3, 3->4, 4->3
    expected = (1 / 3 + 1 / 3 + 1 / 3 + 0 + 1 / 4) / 5
    found = compare(x, y, np.zeros(2, int), 1, {"knn": {"k": 1}}, dtype="float64")["knn"]
    assert found.score.item() == pytest.approx(expected)


def test_patterns_that_differ_in_length_only_are_ties():
    rng = np.random.default_rng(0)
    pattern = rng.normal(size=40)
    x = np.concatenate([rng.uniform(0.1, 10, (12, 1)) * pattern, rng.normal(size=(3, 40))])
    y = rng.normal(size=(N, 8))
    one, other = shared_neighbours(cosines(x), 3), shared_neighbours(cosines(y), 3)
    found = scores(x, y)["knn"].score.item()
    assert found == pytest.approx((one * other).sum() / (3 * N))


@pytest.mark.parametrize("metric", ["cka", "cka_rbf"])
def test_fewer_than_four_stimuli_have_no_debiased_cka(metric):
    x, y = data()
    with pytest.raises(DataError, match="needs at least 4"):
        compare(x[:3], y[:3], np.zeros(8, int), 1, {metric: None})
    with pytest.raises(DataError, match="needs at least 4"):
        compare(x, y, np.zeros(8, int), 1, {metric: None}, halves=[[0, 1, 2], np.arange(3, N)])
    assert np.isfinite(
        compare(x[:4], y[:4], np.zeros(8, int), 1, {metric: None})[metric].score
    ).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_errors(value):
    x, y = data()
    x[2, 1] = x[5, 1] = x[0, 4] = value
    with pytest.raises(NumericalError, match="2 of 6 features"):
        scores(x, y)
    with pytest.raises(NumericalError, match="2 of 6 targets"):
        scores(y, x)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, bool])
def test_features_of_any_number_type_are_read(dtype):
    x, y = data()
    x = (3 * x).astype(dtype)
    for metric, found in scores(x, y).items():
        expected = scores(x.astype(np.float64), y)[metric].score
        np.testing.assert_array_equal(found.score, expected)


def test_shapes_and_indices_that_do_not_fit_are_errors():
    x, y = data()
    with pytest.raises(DataError, match="15 stimuli of features and 14"):
        scores(x, y[:14])
    with pytest.raises(DataError, match="region index"):
        scores(x, y, index=np.zeros(7, int))
    with pytest.raises(DataError, match="region index"):
        scores(x, y, index=np.full(8, 1), regions=1)
    with pytest.raises(DataError, match="region index"):
        compare_subjects(x, [Problem(y)], 1, ALL)
    with pytest.raises(DataError, match="two non-empty axes"):
        scores(x[:, 0], y)
    with pytest.raises(DataError, match="type complex128"):
        scores(x.astype(complex), y)
    with pytest.raises(ConfigError, match="not row orders"):
        scores(x, y, permutations=[np.zeros(N, int)])


@pytest.mark.parametrize(
    "halves",
    [[np.arange(N)], [[0, 1, 2, 3], [3, 4, 5, 6]], [[0, 1], [15, 2]], [[0.5], [1.5]], [[], [1, 2]]],
)
def test_halves_that_are_none_are_errors(halves):
    with pytest.raises(ConfigError, match="disjoint"):
        scores(*data(), halves=halves)
