"""Similarity metrics by name, with their options checked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from torch import Tensor

from convergent.alignment.constant import PRODUCT
from convergent.alignment.metrics import KnnOptions, NoOptions, RbfOptions, Similarity
from convergent.alignment.similarity.geometry import (
    Geometry,
    PairIndex,
    PairKind,
    PairVectors,
    undefined,
    unit,
)
from convergent.alignment.similarity.inputs import Index, region_columns
from convergent.errors import ConfigError, DataError, did_you_mean
from convergent.registry import FITTED, METRICS, PluginError


@dataclass(frozen=True, eq=False)
class Dissimilarities:
    """One subject's dissimilarity matrices, in the place of responses.

    Attributes
    ----------
    values : ndarray, shape (stimulus, target)
        The targets of a region are the stimuli, in the order of the rows: its columns are a
        symmetric matrix.
    rows : ndarray of int, shape (chosen stimulus,), optional
        The stimuli that are compared, in that order; all unless given.
    """

    values: NDArray[np.floating]
    rows: Index | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Stimuli that are compared, and targets of all."""
        number = len(self.values) if self.rows is None else self.rows.size
        return number, self.values.shape[1]

    def __getitem__(self, rows: Index) -> Dissimilarities:
        """Some of the stimuli, in another order."""
        return Dissimilarities(self.values, rows if self.rows is None else self.rows[rows])

    def matrix(self, columns: Index) -> NDArray[np.float64]:
        """Dissimilarities of the chosen stimuli in a region, (stimulus, stimulus).

        Raises
        ------
        DataError
            The region's columns are not the stimuli.
        """
        square: NDArray[np.float64] = np.asarray(self.values[:, columns], dtype=np.float64)
        if square.shape[0] != square.shape[1] or not np.array_equal(square, square.T):
            raise DataError(
                f"a region whose dissimilarities {square.shape} are not symmetric",
                where="similarity",
                fix="give each region one target a stimulus, in the order of the stimuli",
            )
        return square if self.rows is None else square[np.ix_(self.rows, self.rows)]


@dataclass(frozen=True, eq=False)
class MeasuredRegion:
    """One region of one subject, of which dissimilarities are known.

    Attributes
    ----------
    dissimilarities : Dissimilarities
    columns : ndarray of int
        Perhaps none.
    """

    dissimilarities: Dissimilarities
    columns: Index

    def geometry(self, pairs: PairIndex) -> Geometry | None:
        """What metrics of dissimilarities see; None without targets."""
        if self.columns.size == 0:
            return None
        matrix = torch.from_numpy(self.dissimilarities.matrix(self.columns))
        return Measured.of_distances(matrix.to(pairs.device), pairs)


def measured_regions(
    given: Dissimilarities, region_index: ArrayLike | None, n_regions: int, stimuli: int
) -> list[MeasuredRegion]:
    """Regions of one subject.

    Raises
    ------
    DataError
        Dissimilarities of another number of stimuli, or with NaN, infinity or no region.
    """
    if given.shape[0] != stimuli or not np.isfinite(given.values).all():
        raise DataError(
            f"dissimilarities of {given.shape[0]} stimuli where {stimuli} finite ones are needed",
            where="similarity",
            fix="join stimuli and dissimilarities by id first",
        )
    columns = region_columns(region_index, given.shape[1], n_regions)
    return [MeasuredRegion(given, members) for members in columns]


@dataclass(frozen=True, eq=False)
class Measured(Geometry):
    """A geometry without patterns: nothing but the distances is known.

    Attributes
    ----------
    distances : Tensor of float64, shape (stimulus, stimulus)
    """

    distances: Tensor

    @classmethod
    def of_distances(cls, distances: Tensor, pairs: PairIndex) -> Measured:
        """Take distances for what they are; all that belongs to patterns is left empty."""
        none = distances.new_zeros(0)
        empty, flat = distances.new_zeros(0, 0), none.bool()
        return cls(
            pairs, empty, none, none.sum(), none, none.sum(), 0, flat, flat, none.long(), distances
        )

    def subset(self, rows: Tensor, pairs: PairIndex) -> Measured:
        """Distances of some of the stimuli."""
        return Measured.of_distances(self.distances[rows][:, rows], pairs)


Function = Callable[[Geometry, Any], PairVectors]


@dataclass(frozen=True)
class Metric:
    """A metric with its options, ready to be applied to either side."""

    name: str
    function: Function
    options: NoOptions
    minimum: int
    averages: bool = True
    dissimilarities: bool = False

    def __call__(self, geometry: Geometry) -> PairVectors:
        """Make the pair vectors of a representation.

        Raises
        ------
        DataError
            Too few stimuli for the metric, or dissimilarities where it needs patterns.
        """
        if isinstance(geometry, Measured) and not self.dissimilarities:
            raise DataError(
                "dissimilarities of stimuli, where patterns are needed",
                where=f"similarity '{self.name}'",
                fix=f"use {', '.join(of_dissimilarities())}",
            )
        if geometry.n < self.minimum:
            raise DataError(
                f"{geometry.n} stimuli, and {self.name} needs at least {self.minimum}",
                where=f"similarity '{self.name}'",
                fix="use more stimuli, or leave the metric out",
            )
        return self.function(geometry, self.options)


def similarity_names() -> list[str]:
    """Names of all metrics that compare pairs of stimuli, sorted."""
    return sorted(set(METRICS.names()).difference(FITTED))


def compares_dissimilarities(name: str) -> bool:
    """Whether distances between stimuli are all that a metric needs.

    Raises
    ------
    UnknownKeyError, PluginError
        There is no such metric, or it cannot be used.
    """
    return name not in FITTED and bool(METRICS.load(name).dissimilarities)


def of_dissimilarities() -> list[str]:
    """Names of the metrics that compare dissimilarities, sorted; those that can be used."""
    found = []
    for name in similarity_names():
        with contextlib.suppress(PluginError):
            found += [name] if compares_dissimilarities(name) else []
    return found


def resolve_metrics(metrics: Mapping[str, Mapping[str, Any] | None]) -> list[Metric]:
    """Look metrics up and check their options.

    Parameters
    ----------
    metrics : mapping of str to (mapping or None)
        Options by the metric's name; None for the defaults.

    Raises
    ------
    UnknownKeyError, PluginError
        There is no such metric, or it cannot be used.
    ConfigError
        No metric, or options that it does not have or that are out of range.
    """
    if not metrics:
        raise ConfigError("no metric", where="similarity", fix=did_you_mean("", similarity_names()))
    return [_resolve(name, options or {}) for name, options in metrics.items()]


def check_metrics(metrics: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Refuse what `compare` would refuse of metrics and their options, before anything is read."""
    resolve_metrics(metrics)


def _resolve(name: str, options: Mapping[str, Any]) -> Metric:
    if name in FITTED:
        raise ConfigError(
            f"{name} is fitted, and compares no pairs of stimuli",
            where="similarity",
            fix=did_you_mean("", similarity_names()),
        )
    entry: Similarity = METRICS.load(name, "similarity")
    try:
        checked = entry.options(**options)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        known = entry.options.model_fields
        unknown = first["type"] == "extra_forbidden"
        raise ConfigError(
            f"option '{option}' is unknown" if unknown else f"option '{option}': {first['msg']}",
            where=f"similarity '{name}'",
            fix=did_you_mean(option, known) if unknown else "correct the option",
        ) from error
    function = entry.function
    if isinstance(function, str):
        function = METRICS.load_part(name, function)
    return Metric(name, function, checked, entry.minimum, entry.averages, entry.dissimilarities)


def cka(geometry: Geometry, options: NoOptions) -> PairVectors:
    """Debiased linear CKA: cosine of the U-centred kernels of features and responses.

    With U-centred kernels A and B, ``sum over i != j of A_ij B_ij / (n (n - 3))`` is the unbiased
    estimator HSIC_u, and the mean of the score over all permutations of the stimuli is exactly 0.
    It may be negative.

    References
    ----------
    Song et al., J. Mach. Learn. Res. 13 (2012) 1393-1434, eq. 5 (HSIC_u); Szekely & Rizzo, Ann.
    Statist. 42 (2014) 2382-2412, eq. 2.3 (U-centring); Kornblith et al., ICML 2019 (CKA).
    """
    return PairVectors.single(
        PairKind.UPPER, lambda: _u_centred(geometry, geometry.centred.clone())
    )


def cka_rbf(geometry: Geometry, options: RbfOptions) -> PairVectors:
    """Debiased CKA with Gaussian kernels, as `cka`, for a sweep of bandwidths."""
    return _sweep(geometry, options, PairKind.UPPER, _u_centred)


def cka_biased(geometry: Geometry, options: NoOptions) -> PairVectors:
    """Biased linear CKA: cosine of HKH and HLH with H = I - 11'/n, diagonals included.

    It is above 0 for unrelated representations, the more so the more dimensions they have; use it
    only to compare with published numbers.

    References
    ----------
    Kornblith et al., ICML 2019, arXiv:1905.00414, eqs. 2 and 4.
    """
    return PairVectors.single(
        PairKind.SYMMETRIC, lambda: unit(geometry.pairs.pack(geometry.centred, PairKind.SYMMETRIC))
    )


def cka_rbf_biased(geometry: Geometry, options: RbfOptions) -> PairVectors:
    """Biased CKA with Gaussian kernels, as `cka_biased`, for a sweep of bandwidths."""
    return _sweep(geometry, options, PairKind.SYMMETRIC, _h_centred)


def _sweep(
    geometry: Geometry,
    options: RbfOptions,
    kind: PairKind,
    centre: Callable[[Geometry, Tensor], Tensor],
) -> PairVectors:
    def vector(index: int) -> Tensor:
        sigma = options.scales[index] * geometry.median_distance
        if not sigma > 0:  # more than half of the pairs are of equal patterns
            return undefined(geometry.pairs, kind)
        return centre(geometry, torch.mul(geometry.squared_distances, -0.5 / sigma**2).exp_())

    return PairVectors(kind, np.array(options.scales), vector)


def _u_centred(geometry: Geometry, kernel: Tensor) -> Tensor:
    """U-centre a kernel (in place) and scale its pairs i < j to norm 1."""
    n = geometry.n
    kernel.fill_diagonal_(0.0)
    before = torch.linalg.vector_norm(kernel)
    row = kernel.sum(1) / (n - 2)
    row -= row.sum() / (2 * (n - 1))
    kernel -= row
    kernel -= row[:, None]
    return unit(geometry.pairs.pack(kernel, PairKind.UPPER), before)


def _h_centred(geometry: Geometry, kernel: Tensor) -> Tensor:
    """Centre a kernel (in place) as HKH and scale it to norm 1."""
    before = torch.linalg.vector_norm(kernel)
    row = kernel.mean(1)
    row -= row.mean() / 2
    kernel -= row
    kernel -= row[:, None]
    return unit(geometry.pairs.pack(kernel, PairKind.SYMMETRIC), before)


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
    """Centre a vector in place and give it unit length; zeros where it was constant."""
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
