"""One representation as its stimuli see each other: inner products, distances, correlations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment.constant import (
    PRODUCT,
    RESOLUTION,
    first_copies,
    is_constant_range,
    mean_of,
    same_rows,
)


class PairKind(Enum):
    """Which entries of a (stimulus, stimulus) matrix a metric compares."""

    UPPER = "i < j, of a symmetric matrix"
    SYMMETRIC = "i <= j, of a symmetric matrix; i < j weighted by the square root of 2"
    ORDERED = "i != j, of any matrix"


@dataclass(frozen=True, eq=False)
class PairIndex:
    """Where the pairs of n stimuli lie in a row-major (stimulus, stimulus) matrix.

    Attributes
    ----------
    n : int
        Number of stimuli.
    device : torch.device
    """

    n: int
    device: torch.device

    def count(self, kind: PairKind) -> int:
        """Number of pairs of a kind."""
        half = self.n * (self.n - 1) // 2
        return {PairKind.UPPER: half, PairKind.SYMMETRIC: half + self.n}.get(kind, 2 * half)

    def flat(self, kind: PairKind) -> Tensor:
        """Index of each pair in the flattened matrix, (pair,)."""
        if kind is PairKind.UPPER:
            return self._upper
        return self._symmetric if kind is PairKind.SYMMETRIC else self._ordered

    def pack(self, matrix: Tensor, kind: PairKind) -> Tensor:
        """Turn a matrix (stimulus, stimulus) into a vector (pair,)."""
        vector = torch.index_select(matrix.reshape(-1), 0, self.flat(kind))
        if kind is PairKind.SYMMETRIC:
            vector[: -self.n] *= math.sqrt(2)
        return vector

    def unpack(self, vector: Tensor, kind: PairKind) -> Tensor:
        """Turn a vector (pair,) into a matrix, weights included; 0 where there is no pair."""
        matrix = vector.new_zeros(self.n, self.n)
        matrix.view(-1)[self.flat(kind).long()] = vector
        if kind is not PairKind.ORDERED:
            matrix += matrix.triu(1).T
        return matrix

    def permute(self, order: Tensor, kind: PairKind, out: Tensor) -> None:
        """Write the index of the pair (order[i], order[j]) for each pair (i, j) to out, (pair,)."""
        row, column = self._ends(kind)
        order = order.to(self.dtype)
        torch.index_select(order * self.n, 0, row, out=out)
        out += torch.index_select(order, 0, column)

    def _ends(self, kind: PairKind) -> tuple[Tensor, Tensor]:
        """First and second stimulus of each pair, (pair,) each; found once."""
        if kind not in self._found:
            flat = self.flat(kind)
            row = torch.div(flat, self.n, rounding_mode="floor")
            self._found[kind] = row, flat - row * self.n
        return self._found[kind]

    @cached_property
    def _found(self) -> dict[PairKind, tuple[Tensor, Tensor]]:
        return {}

    @property
    def dtype(self) -> torch.dtype:
        """Of indices: half as many bytes to stream through a gather, where they are enough."""
        return torch.int32 if self.n**2 < 2**31 else torch.int64

    @cached_property
    def _upper(self) -> Tensor:
        row, column = torch.triu_indices(self.n, self.n, 1, device=self.device)
        upper: Tensor = row * self.n + column
        return upper.to(self.dtype)

    @cached_property
    def _symmetric(self) -> Tensor:
        diagonal = torch.arange(self.n, device=self.device) * (self.n + 1)
        return torch.cat([self._upper, diagonal.to(self.dtype)])

    @cached_property
    def _ordered(self) -> Tensor:
        every = torch.arange(self.n**2, device=self.device)
        return every[every % (self.n + 1) != 0].to(self.dtype)


@dataclass(frozen=True, eq=False)
class PairVectors:
    """What a metric makes of one representation; the inner product of two is the score.

    Attributes
    ----------
    kind : PairKind
    scales : ndarray of float64, shape (scale,)
        NaN for a metric that has no scales.
    vector : callable
        From the index of a scale to a float64 tensor (pair,): all NaN where the metric is not
        defined. Called when needed, because the vectors of all scales may not fit in memory.
    """

    kind: PairKind
    scales: NDArray[np.float64]
    vector: Callable[[int], Tensor]

    @classmethod
    def single(cls, kind: PairKind, make: Callable[[], Tensor]) -> PairVectors:
        """One vector, of a metric that has no scales."""
        return cls(kind, np.array([np.nan]), lambda _: make())

    @property
    def vectors(self) -> Tensor:
        """All of them, (scale, pair)."""
        return torch.stack([self.vector(index) for index in range(self.scales.size)])


def unit(vector: Tensor, reference: Tensor | float = 0.0) -> Tensor:
    """Scale a vector to norm 1; all NaN where its norm is rounding error.

    Parameters
    ----------
    vector : Tensor, shape (pair,)
        Changed in place.
    reference : Tensor or float
        Norm of what the vector was before something was subtracted from it.
    """
    norm = torch.linalg.vector_norm(vector)
    defined = norm > PRODUCT * torch.as_tensor(reference, dtype=norm.dtype, device=norm.device)
    return vector.mul_(torch.where(defined, 1.0 / norm, torch.nan))


def undefined(index: PairIndex, kind: PairKind) -> Tensor:
    """Vector of a representation for which a metric is not defined, all NaN, (pair,)."""
    return torch.full((index.count(kind),), torch.nan, dtype=torch.float64, device=index.device)


# Squares of numbers outside are too small or too large for float64.
_SMALLEST, _LARGEST = 1e-100, 1e100


@dataclass(frozen=True, eq=False)
class Geometry:
    """Inner products of the patterns of n stimuli, centred before they are multiplied.

    A pattern is its level (mean over features), the mean over stimuli of all patterns less their
    levels, and the rest. The three are kept apart and put together as a metric needs them: a
    large offset, of all stimuli, of some or of some features, then costs no digits.

    Attributes
    ----------
    pairs : PairIndex
    rest : Tensor of float64, shape (stimulus, stimulus)
        Inner products of the rests.
    cross : Tensor of float64, shape (stimulus,)
        Inner products of the rests with the mean pattern.
    mean_square : Tensor of float64, shape ()
        Inner product of the mean pattern with itself.
    level : Tensor of float64, shape (stimulus,)
        Less ``base``.
    base : Tensor of float64, shape ()
        One of the features' values, near which the levels may lie.
    width : int
        Number of features.
    flat, zero : Tensor of bool, shape (stimulus,)
        Whether a pattern has the same value in all features, and whether it is 0.
    copy : Tensor of int, shape (stimulus,)
        A number that stimuli share if and only if their patterns are equal.
    """

    pairs: PairIndex
    rest: Tensor
    cross: Tensor
    mean_square: Tensor
    level: Tensor
    base: Tensor
    width: int
    flat: Tensor
    zero: Tensor
    copy: Tensor

    @classmethod
    def of(cls, features: NDArray[Any], pairs: PairIndex, *, block: int = 4096) -> Geometry:
        """Read features twice, ``block`` columns at a time, of which a float64 copy is made.

        Parameters
        ----------
        features : ndarray, shape (stimulus, feature)
            Real and finite.
        pairs : PairIndex
            Of as many stimuli; shared by all representations on a device.
        block : int
        """
        n, width = features.shape
        starts = range(0, width, block)
        scale = 1.0

        def read(start: int) -> Tensor:
            columns = np.array(features[:, start : start + block], dtype=np.float64)
            return torch.from_numpy(columns).to(pairs.device).mul_(scale)

        zeros = torch.zeros(n, dtype=torch.float64, device=pairs.device)
        low, high = torch.full_like(zeros, torch.inf), torch.full_like(zeros, -torch.inf)
        level, base, of_first = zeros.clone(), zeros.new_zeros(()), zeros.new_zeros(())
        constant = True
        for start in starts:
            x = read(start)
            low, high = torch.minimum(low, x.amin(1)), torch.maximum(high, x.amax(1))
            constant = constant and same_rows(x)
        peak = max(float(high.max()), -float(low.min()))
        if peak > 0 and not _SMALLEST < peak < _LARGEST:
            scale = 2.0 ** -max(math.frexp(peak)[1], -1000)
        for start in starts:
            x = read(start)
            # Less the first row before anything else: a constant feature is then exactly 0.
            level += (x - x[0]).sum(1) / width
            base = x[0, 0] if start == 0 else base
            of_first += (x[0] - base).sum() / width
        gram, cross, mean_square = zeros.new_zeros(n, n), zeros.clone(), zeros.new_zeros(())
        for start in starts:
            x = read(start)
            first = x[0].clone()
            x -= first
            x -= level[:, None]
            mean = x.mean(0)
            x -= mean
            mean += first - base - of_first
            gram.addmm_(x, x.T)
            cross += x @ mean
            mean_square += mean @ mean
        copy = np.zeros(n, dtype=np.intp) if constant else first_copies(features)
        return cls(
            pairs,
            gram,
            cross,
            mean_square,
            level + of_first,
            base,
            width,
            is_constant_range(low, high),
            (low == 0) & (high == 0),
            torch.from_numpy(copy).to(pairs.device),
        )

    @property
    def n(self) -> int:
        """Number of stimuli."""
        return self.pairs.n

    @property
    def constant(self) -> bool:
        """Whether all patterns are the same."""
        return bool((self.copy == self.copy[0]).all())

    def subset(self, rows: Tensor, pairs: PairIndex) -> Geometry:
        """Return the geometry of some of the stimuli, as if the others had never been read.

        Parameters
        ----------
        rows : Tensor of int, shape (stimulus of the subset,)
        pairs : PairIndex
            Of as many stimuli as the subset has.
        """
        gram, cross = self.rest[rows][:, rows], self.cross[rows]
        mean = gram.mean(0)
        total = mean.mean()
        return Geometry(
            pairs,
            gram - mean - (mean - total)[:, None],
            cross + mean - cross.mean() - total,
            self.mean_square + 2 * cross.mean() + total,
            self.level[rows],
            self.base,
            self.width,
            self.flat[rows],
            self.zero[rows],
            self.copy[rows],
        )

    @cached_property
    def centred(self) -> Tensor:
        """Inner products of the patterns less their mean over stimuli, (stimulus, stimulus).

        Exactly 0 where all patterns are the same.
        """
        if self.constant:
            return torch.zeros_like(self.rest)
        level = self.level - mean_of(self.level)
        return torch.addr(self.rest, level, level, alpha=self.width)

    @cached_property
    def squared_distances(self) -> Tensor:
        """Squared Euclidean distances of the patterns, (stimulus, stimulus).

        0 between equal patterns, and above it between all others.
        """
        square = self.centred.diagonal()
        sizes = square + square[:, None]
        distances = torch.maximum(sizes - 2 * self.centred, RESOLUTION * sizes)
        return distances.masked_fill_(self.copy == self.copy[:, None], 0.0)

    @cached_property
    def median_distance(self) -> float:
        """Median Euclidean distance over the pairs i < j; NaN without pairs."""
        values = self.pairs.pack(self.squared_distances, PairKind.UPPER)
        if values.numel() == 0:
            return float("nan")
        low = torch.kthvalue(values, (values.numel() + 1) // 2).values
        high = low
        if values.numel() % 2 == 0 and int((values <= low).sum()) == values.numel() // 2:
            high = values[values > low].min()
        return float((low.sqrt() + high.sqrt()) / 2)

    @cached_property
    def correlations(self) -> Tensor | None:
        """Pearson correlations of the patterns over features, (stimulus, stimulus).

        None where one is not defined: a pattern that is constant over features, or one feature.
        """
        if self.width < 2 or bool(self.flat.any()):
            return None
        return _normalised(self._less_level)

    @cached_property
    def cosines(self) -> Tensor | None:
        """Cosines of the patterns, as they are (not centred), (stimulus, stimulus).

        None where one is not defined: a pattern that is zero.
        """
        if bool(self.zero.any()):
            return None
        level = self.level + self.base
        return _normalised(torch.addr(self._less_level, level, level, alpha=self.width))

    @property
    def _less_level(self) -> Tensor:
        """Inner products of the patterns less their levels."""
        return self.rest + (self.cross + self.mean_square) + self.cross[:, None]


def _normalised(products: Tensor) -> Tensor:
    size = products.diagonal().clamp(min=torch.finfo(torch.float64).tiny).sqrt()
    return products.div_(size).div_(size[:, None]).clamp_(-1.0, 1.0)
