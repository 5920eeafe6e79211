"""Metrics are found by name; mistakes in names and options are refused."""

import numpy as np
import pytest

from convergent.alignment.metrics import Similarity
from convergent.alignment.similarity import (
    PairKind,
    PairVectors,
    compare,
    similarity_names,
)
from convergent.errors import ConfigError, UnknownKeyError
from convergent.registry import METRICS

X = np.random.default_rng(0).normal(size=(12, 5))
INDEX = np.zeros(5, int)


def test_names():
    assert similarity_names() == [
        "cka",
        "cka_biased",
        "cka_rbf",
        "cka_rbf_biased",
        "knn",
        "rsa_cosine",
        "rsa_pearson",
        "rsa_spearman",
        "rsa_whitened",
    ]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({}, "no metric"),
        ({"ridge": None}, "ridge is fitted.*known: cka"),
        ({"cka": {"debiased": False}}, "option 'debiased' is unknown"),
        ({"cka_rbf": {"scale": [1.0]}}, "did you mean 'scales'"),
        ({"cka_rbf": {"scales": []}}, "option 'scales'"),
        ({"cka_rbf": {"scales": [0.0]}}, "option 'scales.0'"),
        ({"cka_rbf_biased": {"scales": [float("inf")]}}, "option 'scales.0'"),
        ({"knn": {"k": 0}}, "option 'k'"),
        ({"knn": {"k": 2.5}}, "option 'k'"),
        ({"knn": {"k": 12}}, "use a k of at most 11"),
    ],
)
def test_mistakes_are_told(metrics, message):
    with pytest.raises(ConfigError, match=message):
        compare(X, X, INDEX, 1, metrics)


def test_a_misspelt_metric_is_told():
    with pytest.raises(UnknownKeyError, match="unknown metric 'ckaa'.*did you mean 'cka'"):
        compare(X, X, INDEX, 1, {"ckaa": None})


def test_default_bandwidths():
    found = compare(X, X, INDEX, 1, {"cka_rbf": None})["cka_rbf"]
    np.testing.assert_allclose(found.scales, np.geomspace(0.25, 4, 12))


def test_a_metric_is_one_registered_function(registries):
    def first_pair(geometry, options):
        """Centred product of the first two stimuli, in each pair's place."""
        pairs = geometry.pairs
        return PairVectors.single(
            PairKind.UPPER,
            lambda: pairs.pack(geometry.centred, PairKind.UPPER),
        )

    METRICS.register("first_pair")(Similarity(first_pair))
    found = compare(X, X, INDEX, 1, {"first_pair": None}, dtype="float64")["first_pair"]
    centred = X - X.mean(0)
    expected = np.square((centred @ centred.T)[np.triu_indices(12, 1)]).sum()
    assert found.score.item() == pytest.approx(expected)
