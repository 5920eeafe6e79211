"""Mutual k-nearest-neighbour alignment."""

from __future__ import annotations

import torch
from torch import Tensor

from convergent.alignment._constant import PRODUCT
from convergent.alignment.metrics import KnnOptions
from convergent.alignment.similarity._geometry import Geometry
from convergent.alignment.similarity._pairs import PairKind, PairVectors, undefined
from convergent.errors import ConfigError


def knn(geometry: Geometry, options: KnnOptions) -> PairVectors:
    """Share of each stimulus's k nearest neighbours that both representations agree on.

    Neighbours are by cosine of the patterns as they are, the stimulus itself left out. Where m
    stimuli of equal cosine compete for the last q places, each counts as q / m of a neighbour:
    the expected score if ties are broken at random, whatever the order of the stimuli. With such
    ties a representation scores below 1 against itself. The expected score of unrelated
    representations is k / (n - 1). Not defined where a pattern is zero, all patterns are the
    same, or there is one feature: all cosines are then -1 or 1.

    References
    ----------
    Huh, Cheung, Wang & Isola, ICML 2024, arXiv:2405.07987, appendix A.
    """
    if options.k >= geometry.n:
        raise ConfigError(
            f"k is {options.k} and there are {geometry.n} stimuli",
            where="similarity 'knn'",
            fix=f"use a k of at most {geometry.n - 1}",
        )

    def make() -> Tensor:
        cosines = geometry.cosines
        if geometry.constant or geometry.width < 2 or cosines is None:
            return undefined(geometry.pairs, PairKind.ORDERED)
        chosen = _neighbours(cosines.clone().fill_diagonal_(-torch.inf), options.k)
        agreement = chosen / (geometry.n * options.k) ** 0.5
        return geometry.pairs.pack(agreement, PairKind.ORDERED)

    return PairVectors.single(PairKind.ORDERED, make)


def _neighbours(similarity: Tensor, k: int) -> Tensor:
    """How far j is among the k most similar to i, 0 to 1, (stimulus i, stimulus j)."""
    threshold = torch.topk(similarity, k, dim=1).values[:, -1:]
    nearer = similarity > threshold + PRODUCT
    tied = (similarity - threshold).abs() <= PRODUCT
    places = k - nearer.sum(1, keepdim=True)
    return nearer + tied * (places / tied.sum(1, keepdim=True)).to(similarity.dtype)
