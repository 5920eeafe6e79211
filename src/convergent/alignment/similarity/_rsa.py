"""Representational similarity analysis of Pearson-distance RDMs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from convergent.alignment._constant import PRODUCT
from convergent.alignment.metrics import NoOptions
from convergent.alignment.similarity._dissimilarities import Measured
from convergent.alignment.similarity._geometry import Geometry
from convergent.alignment.similarity._pairs import (
    PairIndex,
    PairKind,
    PairVectors,
    undefined,
    unit,
)


def rsa_pearson(geometry: Geometry, options: NoOptions) -> PairVectors:
    """Pearson correlation of RDMs (1 - Pearson r of patterns over features, i < j).

    Not defined where a pattern is constant over features or there is one feature.

    References
    ----------
    Kriegeskorte, Mur & Bandettini, Front. Syst. Neurosci. 2:4 (2008).
    """
    return _compare_rdms(geometry, centred_unit)


def rsa_spearman(geometry: Geometry, options: NoOptions) -> PairVectors:
    """Spearman correlation of RDMs, average ranks for ties; see `rsa_pearson`."""
    return _compare_rdms(geometry, lambda rdm: centred_unit(average_ranks(rdm)), settle=True)


def rsa_cosine(geometry: Geometry, options: NoOptions) -> PairVectors:
    """Cosine of RDMs, not centred; see `rsa_pearson`.

    Distances are positive, so unrelated representations score far above 0: read it against its
    permutation null.
    """
    return _compare_rdms(geometry, unit)


def rsa_whitened(geometry: Geometry, options: NoOptions) -> PairVectors:
    """Whitened cosine of RDMs, for distances whose errors share stimuli; see `rsa_pearson`.

    ``d1' V^-1 d2`` with V the covariance of distances between patterns with independent noise is,
    up to a factor, the inner product of the double-centred matrices ``-H D H / 2``; the matrix V
    (pair, pair) is never made.

    References
    ----------
    Diedrichsen et al., Neurons, Behavior, Data analysis, and Theory 5(3) (2021),
    arXiv:2007.02789, eqs. 11 and 14.
    """
    return _compare_rdms(geometry, lambda rdm: whiten(rdm, geometry.pairs), kind=PairKind.SYMMETRIC)


def _compare_rdms(
    geometry: Geometry,
    normalise: Callable[[Tensor], Tensor],
    kind: PairKind = PairKind.UPPER,
    *,
    settle: bool = False,
) -> PairVectors:
    def make() -> Tensor:
        found = rdm_of(geometry, settle=settle)
        return undefined(geometry.pairs, kind) if found is None else normalise(found)

    return PairVectors.single(kind, make)


def rdm_of(geometry: Geometry, *, settle: bool = False) -> Tensor | None:
    """Distances as measured, or correlation distances of the patterns, (pair i < j,).

    None where one is not defined. Computed distances that are 0 but for rounding are 0; with
    ``settle``, those that are equal but for rounding are equal. Measured ones stay as they are.
    """
    if isinstance(geometry, Measured):
        return geometry.pairs.pack(geometry.distances, PairKind.UPPER)
    if geometry.constant or geometry.correlations is None:
        return None
    rdm = 1.0 - geometry.pairs.pack(geometry.correlations, PairKind.UPPER)
    rdm.masked_fill_(rdm <= PRODUCT, 0.0)
    return settled(rdm) if settle else rdm


def settled(values: Tensor) -> Tensor:
    """Give values that are equal but for rounding the smallest of them, (pair,)."""
    ordered, index = torch.sort(values)
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[1:] = ordered.diff() > PRODUCT
    group = new.cumsum(0) - 1
    equal = torch.empty_like(values)
    equal[index] = ordered[new][group]
    return equal


def whiten(rdm: Tensor, pairs: PairIndex) -> Tensor:
    """Double-centre an RDM (pair i < j,) and scale it to norm 1, (pair i <= j,).

    The factor -1/2 of multidimensional scaling is left out: the norm takes it away.
    """
    centred = pairs.unpack(rdm, PairKind.UPPER)
    before = torch.linalg.vector_norm(centred)
    row = centred.mean(1)
    row -= row.mean() / 2
    centred -= row
    centred -= row[:, None]
    return unit(pairs.pack(centred, PairKind.SYMMETRIC), before)


def centred_unit(vector: Tensor) -> Tensor:
    before = torch.linalg.vector_norm(vector)
    return unit(vector.sub_(vector.mean()), before)


def average_ranks(values: Tensor) -> Tensor:
    """Ranks from 1, the mean rank for ties, (pair,)."""
    ordered, index = torch.sort(values)
    _, counts = torch.unique_consecutive(ordered, return_counts=True)
    last = counts.cumsum(0).to(torch.float64)
    middle = last - (counts.to(torch.float64) - 1.0) / 2.0
    ranks = torch.empty_like(values, dtype=torch.float64)
    ranks[index] = torch.repeat_interleave(middle, counts)
    return ranks
