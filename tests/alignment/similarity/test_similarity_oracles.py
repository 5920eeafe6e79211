"""Every metric agrees with its definition, written out pair by pair or by another library."""

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

from convergent.alignment import item_orders
from convergent.alignment.similarity import compare, similarity_names

N, REGIONS = 14, 3
REGION_INDEX = np.array([0] * 6 + [1] * 4 + [-1] * 2 + [2] * 9)
SCALES = [0.4, 1.0, 2.5]
METRICS = {
    **dict.fromkeys(similarity_names()),
    "cka_rbf": {"scales": SCALES},
    "cka_rbf_biased": {"scales": SCALES},
    "knn": {"k": 3},
}


def data(seed=0, n=N):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8)) @ rng.normal(size=(8, 30)) + rng.normal(size=30)
    y = x[:, : REGION_INDEX.size] + 6 * rng.normal(size=(n, REGION_INDEX.size)) + 0.5
    return x, y


def each_region(function, x, y):
    return np.array([function(x, y[:, r == REGION_INDEX]) for r in range(REGIONS)])


def linear(x, _):
    return x @ x.T


def gaussian(x, scale):
    distances = pdist(x)
    return np.exp(-squareform(distances**2) / (2 * (scale * np.median(distances)) ** 2))


def hsic_u(k, other):
    """Song et al. 2012, eq. 5, in single sums."""
    m = len(k)
    trace = cross = 0.0
    total_k = total_l = 0.0
    for i, j in itertools.permutations(range(m), 2):
        trace += k[i, j] * other[j, i]
        total_k += k[i, j]
        total_l += other[i, j]
    for i in range(m):
        row_k = sum(k[i, j] for j in range(m) if j != i)
        row_l = sum(other[i, j] for j in range(m) if j != i)
        cross += row_k * row_l
    return (trace + total_k * total_l / ((m - 1) * (m - 2)) - 2 * cross / (m - 2)) / (m * (m - 3))


def hsic_b(k, other):
    centre = np.eye(len(k)) - 1 / len(k)
    return np.trace(k @ centre @ other @ centre) / (len(k) - 1) ** 2


@pytest.mark.parametrize(
    ("metric", "kernel", "hsic", "scales"),
    [
        ("cka", linear, hsic_u, [None]),
        ("cka_biased", linear, hsic_b, [None]),
        ("cka_rbf", gaussian, hsic_u, SCALES),
        ("cka_rbf_biased", gaussian, hsic_b, SCALES),
    ],
)
@pytest.mark.parametrize("n", [13, 14])  # an even and an odd number of pairs
def test_cka_is_the_normalised_hsic(metric, kernel, hsic, scales, n):
    x, y = data(n=n)

    def score(one, other, scale):
        k, l_ = kernel(one, scale), kernel(other, scale)
        return hsic(k, l_) / np.sqrt(hsic(k, k) * hsic(l_, l_))

    found = compare(x, y, REGION_INDEX, REGIONS, {metric: METRICS[metric]}, dtype="float64")[metric]
    expected = [each_region(lambda a, b, s=s: score(a, b, s), x, y) for s in scales]
    np.testing.assert_allclose(found.score, expected, atol=1e-8)
    np.testing.assert_array_equal(found.scales, [np.nan if s is None else s for s in scales])
    assert found.null is found.half_score is found.half_null is None


def test_knn_is_the_share_of_common_neighbours():
    x, y = data()

    def neighbours(values):
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        cosine = unit @ unit.T
        return [set(sorted(set(range(N)) - {i}, key=lambda j: -cosine[i, j])[:3]) for i in range(N)]

    def score(one, other):
        pairs = zip(neighbours(one), neighbours(other), strict=True)
        return np.mean([len(a & b) / 3 for a, b in pairs])

    found = compare(x, y, REGION_INDEX, REGIONS, {"knn": {"k": 3}}, dtype="float64")["knn"]
    np.testing.assert_allclose(found.score[0], each_region(score, x, y), atol=1e-12)


def test_spearman_gives_ties_the_average_rank():
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 2, (N, 5)), rng.integers(0, 2, (N, 5))
    x[:, :2], y[:, :2] = [0, 1], [0, 1]  # no pattern is constant
    one, other = (1 - np.corrcoef(values)[np.triu_indices(N, 1)] for values in (x, y))
    assert np.unique(one.round(9)).size < one.size / 3
    expected = spearmanr(one.round(9), other.round(9)).statistic
    found = compare(x, y, np.zeros(5, int), 1, {"rsa_spearman": None}, dtype="float64")
    assert found["rsa_spearman"].score.item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", similarity_names())
def test_null_is_the_score_of_permuted_responses(metric):
    x, y = data()
    orders = item_orders(N, permutations=7, seed=0)
    metrics = {metric: METRICS[metric]}
    options = {"metrics": metrics, "dtype": "float64"}
    found = compare(x, y, REGION_INDEX, REGIONS, permutations=orders, **options)[metric]
    loop = [compare(x, y[o], REGION_INDEX, REGIONS, **options)[metric].score for o in orders]
    np.testing.assert_allclose(found.null, loop, atol=1e-12)
    moved = [
        compare(x[np.argsort(o)], y, REGION_INDEX, REGIONS, **options)[metric].score for o in orders
    ]
    np.testing.assert_allclose(found.null, moved, atol=1e-12)
    assert np.ptp(found.null, axis=0).min() > 1e-3


@pytest.mark.parametrize("metric", similarity_names())
def test_float32_stays_within_1e_4(metric):
    x, y = data(n=80)
    x[:, :3] = 3000 + 50 * x[:, :3]  # the massive dimensions of language models
    orders = item_orders(80, permutations=5, seed=0)
    one, other = (
        compare(x, y, REGION_INDEX, REGIONS, {metric: None}, permutations=orders, dtype=dtype)
        for dtype in ("float32", "float64")
    )
    np.testing.assert_allclose(one[metric].score, other[metric].score, atol=1e-4)
    np.testing.assert_allclose(one[metric].null, other[metric].null, atol=1e-4)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-8), ("float32", 1e-4)])
def test_cuda_equals_cpu(dtype, tolerance):
    x, y = data(n=90)
    arguments = (x, y, REGION_INDEX, REGIONS, METRICS)
    options = {
        "permutations": np.concatenate(
            [np.random.default_rng(0).permutation(45), np.arange(45, 90)]
        )[None],
        "halves": [np.arange(45), np.arange(45, 90)],
        "dtype": dtype,
    }
    cpu, cuda = (compare(*arguments, device=device, **options) for device in ("cpu", "cuda"))
    for metric in METRICS:
        for name in ("score", "null", "half_score", "half_null"):
            one, other = getattr(cpu[metric], name), getattr(cuda[metric], name)
            np.testing.assert_allclose(other, one, atol=tolerance)
