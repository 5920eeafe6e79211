"""Pairs of stimuli: which ones a metric uses, and how they lie in a vector."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment._constant import PRODUCT


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
