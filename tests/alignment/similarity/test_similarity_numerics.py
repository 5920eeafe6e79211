"""Scores follow from the data, not from how they are stored, scaled, ordered or multiplied."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.spatial.distance import pdist

from convergent.alignment import choose_layers
from convergent.alignment.similarity import (
    Dissimilarities,
    Geometry,
    compare,
    largest_p,
    similarity_names,
)
from convergent.alignment.similarity.geometry import PairIndex

N = 15
ALL = {**dict.fromkeys(similarity_names()), "knn": {"k": 3}}
RSA = ("rsa_pearson", "rsa_spearman", "rsa_cosine", "rsa_whitened")


def plain():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 7)), rng.normal(size=(N, 8))


def copies():
    x, y = plain()
    x[9:] = x[:6]
    return x, y


def mostly_copies():
    x, y = plain()
    x[:13] = x[0]
    return x, y


def zero_pattern():
    x, y = plain()
    x[3] = -0.0
    x[3, ::2] = 0.0
    return x, y


def flat_pattern():
    x, y = plain()
    x[3] = 0.1
    return x, y


def one_feature():
    x, y = plain()
    return x[:, :1], y


def constant():
    x, y = plain()
    return np.tile(x[:1], (N, 1)), y


def integers():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 3, (N, 7)).astype(float)
    x[:, 0] += 1
    return x, plain()[1]


CASES = [
    plain,
    copies,
    mostly_copies,
    zero_pattern,
    flat_pattern,
    one_feature,
    constant,
    integers,
]


def scores(x, y, **options):
    found = compare(x, y, np.zeros(y.shape[1], int), 1, ALL, dtype="float64", **options)
    return {name: values.score[:, 0] for name, values in found.items()}


def assert_same(found, expected, atol=1e-9):
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=atol, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_order_scale_type_and_threads_change_no_score_and_no_nan(case):
    x, y = case()
    expected = scores(x, y)
    order = np.random.default_rng(2).permutation(N)
    assert_same(scores(x[order], y[order]), expected)
    assert_same(scores(x[:, ::-1], y[:, ::-1]), expected)
    assert_same(scores(np.asfortranarray(x), y), expected)
    for factor in (1e-30, 1e30, -1e-300, 1e300):
        assert_same(scores(x * factor, y), expected)
        assert_same(scores(x, y * factor), expected)
    single = x.astype(np.float32), y.astype(np.float32)
    assert_same(scores(*single), scores(single[0].astype(float), single[1].astype(float)), 0)
    assert_same(scores(x * np.float64(2.0**-1060), y), scores(x * 2.0**-1060 * 2.0**1000, y))
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert_same(scores(x, y), expected)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("offset", [1e3, 1e6, 1e9])
def test_a_large_offset_costs_no_more_than_the_digits_it_takes(offset):
    x, y = (np.round(values, 3) for values in plain())
    # what is left of the numbers once they carry the offset
    x = (x + offset) - offset
    found, expected = scores(x + offset, y), scores(x, y)
    for name in ALL:
        if name != "knn":  # cosines depend on the offset
            np.testing.assert_allclose(found[name], expected[name], atol=1e-8, err_msg=name)
    # an offset of each stimulus is its level, which correlations do not see
    levels = offset * np.arange(1, N + 1)[:, None]
    x = (x + levels) - levels
    found, expected = scores(x + levels, y), scores(x, y)
    for name in RSA:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("rounding", [-1e-15, 0.0, 1e-15, 1e-14])
def test_a_zero_pattern_is_seen_whatever_a_product_rounds(rounding, monkeypatch):
    x, _ = zero_pattern()
    monkeypatch.setattr(torch, "addr", lambda *a, addr=torch.addr, **k: addr(*a, **k) + rounding)
    assert Geometry.of(x, PairIndex(N, torch.device("cpu"))).cosines is None


@pytest.mark.parametrize("part", [slice(0, 8), slice(8, N)])
def test_a_pattern_or_a_half_that_says_nothing_is_undefined_there_only(part):
    x, y = plain()
    x[part] = x[part.start]
    halves = [np.arange(8), np.arange(8, N)]
    found = compare(x, y, np.zeros(8, int), 1, ALL, dtype="float64", halves=halves)
    which = 0 if part.start == 0 else 1
    for name, values in found.items():
        assert np.isnan(values.half_score[which]).all(), name
        assert np.isfinite(values.half_score[1 - which]).all(), name


def test_patterns_that_are_multiples_of_one_have_no_dissimilarity():
    rng = np.random.default_rng(3)
    x = rng.uniform(0.5, 2, (N, 1)) * rng.normal(size=(1, 30)) + rng.normal(size=(N, 1))
    found = scores(x, plain()[1])
    assert all(np.isnan(found[name]).all() for name in RSA)


@pytest.mark.parametrize("factor", [1.0, 1e-30, 1e30])
def test_spearman_ranks_tied_dissimilarities_as_scipy_does(factor):
    x, y = integers()
    expected = stats.spearmanr(
        pdist(x, "correlation").round(9), pdist(y, "correlation").round(9)
    ).statistic
    assert scores(x * factor, y)["rsa_spearman"].item() == pytest.approx(expected, abs=1e-10)
    measured = np.random.default_rng(4).integers(0, 4, (N, N)) * factor
    measured = np.triu(measured, 1) + np.triu(measured, 1).T
    found = compare(
        x, Dissimilarities(measured), np.zeros(N, int), 1, {"rsa_spearman": None}, dtype="float64"
    )["rsa_spearman"]
    upper = measured[np.triu_indices(N, 1)]
    expected = stats.spearmanr(pdist(x, "correlation").round(9), upper).statistic
    assert found.score.item() == pytest.approx(expected, abs=1e-10)


def test_equal_rows_found_beyond_the_first_columns():
    x = np.zeros((6, 100))
    x[[1, 4], 99] = 1
    x[2, 80] = -0.0
    copy = Geometry.of(x, PairIndex(6, torch.device("cpu"))).copy.tolist()
    assert copy == [0, 1, 0, 0, 1, 0]


def test_a_region_whose_scores_differ_by_rounding_is_not_tested():
    rng = np.random.default_rng(5)
    null = np.column_stack([rng.normal(size=50), 0.3 + 1e-8 * rng.normal(size=50)])
    p = largest_p([1.0, 0.3], null)
    assert np.isfinite(p[0]) and np.isnan(p[1])


def test_layers_whose_scores_differ_by_rounding_tie_and_the_first_is_chosen():
    inner = np.array([0.2, 0.5, 0.5 + 1e-9, 0.4]).reshape(4, 1, 1)
    assert choose_layers(inner, inner).layer.item() == 1
