"""Measured dissimilarities: RSA of them is that of anybody's RDMs, and nothing else is possible."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import pearsonr, spearmanr

from convergent.alignment import Problem, item_orders
from convergent.alignment.similarity import (
    Dissimilarities,
    compare,
    compare_subjects,
    of_dissimilarities,
    rsa_noise_ceiling,
    similarity_ceilings,
    similarity_names,
)
from convergent.errors import DataError

N, REGIONS = 30, 2
PAIRS = np.triu_indices(N, 1)
RSA = dict.fromkeys(["rsa_spearman", "rsa_pearson", "rsa_cosine", "rsa_whitened"])


def matrices(seed, regions=REGIONS):
    rng = np.random.default_rng(seed)
    return [squareform(pdist(rng.normal(size=(N, 5)))) for _ in range(regions)]


def side_by_side(rdms):
    return np.hstack(rdms), np.repeat(np.arange(len(rdms)), N)


def features(seed=9):
    return np.random.default_rng(seed).normal(size=(N, 12))


def test_scores_are_those_of_the_two_matrices():
    rdms, x = matrices(1), features()
    values, index = side_by_side(rdms)
    found = compare(x, Dissimilarities(values), index, REGIONS, RSA, dtype="float64")
    layer = pdist(x, "correlation")
    for r, rdm in enumerate(rdms):
        brain = rdm[PAIRS]
        expected = {
            "rsa_spearman": spearmanr(layer, brain)[0],
            "rsa_pearson": pearsonr(layer, brain)[0],
            "rsa_cosine": layer @ brain / np.linalg.norm(layer) / np.linalg.norm(brain),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(found[name].score[0, r], value, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "method"), [("rsa_spearman", "spearman"), ("rsa_whitened", "cosine_cov")]
)
def test_rsatoolbox_agrees(name, method):
    rsatoolbox = pytest.importorskip("rsatoolbox")
    rdms, x = matrices(2, 1), features()
    values, index = side_by_side(rdms)
    ours = compare(x, Dissimilarities(values), index, 1, {name: None}, dtype="float64")[name]
    one, two = (rsatoolbox.rdm.RDMs(v[None]) for v in (pdist(x, "correlation"), rdms[0][PAIRS]))
    theirs = rsatoolbox.rdm.compare(one, two, method=method)[0, 0]
    np.testing.assert_allclose(ours.score[0, 0], theirs, atol=1e-8)


def test_distances_of_patterns_score_as_the_patterns_do():
    """Halves and null too: each is of the same rows."""
    rng = np.random.default_rng(4)
    x, y = features(), rng.normal(size=(N, 40))
    halves = [np.arange(0, N, 2), np.arange(1, N, 2)]
    ids = np.array([f"i{k}" for k in range(N)])
    orders = item_orders(ids, permutations=7, seed=1, within=halves)
    rdm = squareform(pdist(y, "correlation"))
    given = {"halves": halves, "dtype": "float64"}
    one, two = (
        compare(x, data, index, 1, RSA, permutations=orders, **given)
        for data, index in (
            (y, np.zeros(40, int)), (Dissimilarities((rdm + rdm.T) / 2), np.zeros(N, int))
        )
    )  # fmt: skip
    for name in RSA:
        for part in ("score", "null", "half_score", "half_null"):
            np.testing.assert_allclose(
                getattr(one[name], part), getattr(two[name], part), atol=1e-6
            )


def test_rows_chosen_are_rows_and_columns():
    rdms, x = matrices(3), features()
    values, index = side_by_side(rdms)
    rows = np.random.default_rng(0).permutation(N)[:20]
    some = Dissimilarities(values)[rows]
    assert some.shape == (20, REGIONS * N)
    again = some[np.arange(10, 20)]
    np.testing.assert_array_equal(again.matrix(np.arange(N)), rdms[0][np.ix_(rows[10:], rows[10:])])
    small = [rdm[np.ix_(rows, rows)] for rdm in rdms]
    expected = compare(
        x[rows], Dissimilarities(np.hstack(small)), np.repeat([0, 1], 20), REGIONS, RSA
    )
    found = compare(x[rows], some, index, REGIONS, RSA)
    for name in RSA:
        np.testing.assert_array_equal(found[name].score, expected[name].score)


def test_regions_whose_columns_are_mixed():
    rdms = matrices(5)
    values, index = side_by_side(rdms)
    mixed = np.argsort(np.tile(np.arange(N), REGIONS), kind="stable")
    x = features()
    one = compare(x, Dissimilarities(values), index, REGIONS, RSA)
    two = compare(x, Dissimilarities(values[:, mixed]), index[mixed], REGIONS, RSA)
    for name in RSA:
        np.testing.assert_array_equal(one[name].score, two[name].score)


def test_ceilings_are_those_of_the_matrices():
    subjects = [matrices(seed) for seed in range(4)]
    sides = [side_by_side(rdms) for rdms in subjects]
    for name in RSA:
        found = similarity_ceilings(
            [Dissimilarities(v) for v, _ in sides], [i for _, i in sides], REGIONS, {name: None}
        )[name]
        for r in range(REGIONS):
            expected = rsa_noise_ceiling(
                np.stack([rdms[r][PAIRS] for rdms in subjects]), name.removeprefix("rsa_")
            )
            np.testing.assert_allclose(found.lower[0, r], expected.lower, atol=1e-10)
            np.testing.assert_allclose(found.upper[0, r], expected.upper, atol=1e-10)


def test_a_planted_order_is_found_and_beats_its_null():
    x = features()
    layer = squareform(pdist(x, "correlation"))
    noise = matrices(6, 1)[0]
    orders = np.stack([np.random.default_rng(k).permutation(N) for k in range(99)])
    given = [Problem(Dissimilarities(rdm), orders, np.zeros(N, int)) for rdm in (
        layer + 0.1 * noise, noise)]  # fmt: skip
    driven, other = compare_subjects(x, given, 1, {"rsa_spearman": None})
    assert driven["rsa_spearman"].score[0, 0] > driven["rsa_spearman"].null.max() + 0.2
    null = other["rsa_spearman"].null
    assert null.min() < other["rsa_spearman"].score[0, 0] < null.max()


def test_metrics_that_need_patterns_refuse():
    values, index = side_by_side(matrices(1))
    assert set(of_dissimilarities()) == set(RSA)
    for name in set(similarity_names()) - set(RSA):
        with pytest.raises(DataError, match="dissimilarities of stimuli, where patterns"):
            compare(features(), Dissimilarities(values), index, REGIONS, {name: None})


def test_what_is_no_matrix_of_the_stimuli_is_refused():
    values, index = side_by_side(matrices(1))
    with pytest.raises(DataError, match="not symmetric"):
        compare(features(), Dissimilarities(values[:, :-1]), index[:-1], REGIONS, RSA)
    with pytest.raises(DataError, match="not symmetric"):
        compare(features(), Dissimilarities(values[:, ::-1]), index, REGIONS, RSA)
    with pytest.raises(DataError, match="29 stimuli where 30"):
        compare(features(), Dissimilarities(values)[np.arange(29)], index, REGIONS, RSA)
    values[0, 1] = np.nan
    with pytest.raises(DataError, match="finite"):
        compare(features(), Dissimilarities(values), index, REGIONS, RSA)
