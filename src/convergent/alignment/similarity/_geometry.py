"""One representation as its stimuli see each other: inner products, distances, correlations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment.similarity._pairs import PairIndex, PairKind

# Relative size below which a variance or squared distance is rounding, not data.
_ZERO = 1e-13


@dataclass(frozen=True, eq=False)
class Geometry:
    """Inner products of the patterns of n stimuli, from one pass over the features.

    Features are centred before they are multiplied. What belongs to their means is kept apart,
    and added back where a metric needs patterns that are not centred: a large common offset
    then costs no digits.

    Attributes
    ----------
    pairs : PairIndex
    centred : Tensor of float64, shape (stimulus, stimulus)
        Inner products of the patterns less their mean over stimuli.
    cross : Tensor of float64, shape (stimulus,)
        Inner products of the centred patterns with the mean pattern (less ``shift``).
    mean_square : Tensor of float64, shape ()
        Inner product of the mean pattern (less ``shift``) with itself.
    row_sum : Tensor of float64, shape (stimulus,)
        Sum over features of each pattern (less ``shift``).
    shift : float
        A number subtracted from all features, near their mean.
    width : int
        Number of features.
    flat : Tensor of bool, shape (stimulus,)
        Whether a pattern has the same value in all features.
    constant : bool
        Whether all patterns are the same.
    """

    pairs: PairIndex
    centred: Tensor
    cross: Tensor
    mean_square: Tensor
    row_sum: Tensor
    shift: float
    width: int
    flat: Tensor
    constant: bool

    @classmethod
    def of(cls, features: NDArray[Any], pairs: PairIndex, *, block: int = 4096) -> Geometry:
        """Read features, ``block`` columns at a time, of which a float64 copy is made.

        Parameters
        ----------
        features : ndarray, shape (stimulus, feature)
            Real and finite.
        pairs : PairIndex
            Of as many stimuli; shared by all representations on a device.
        block : int
        """
        n, width = features.shape
        zeros = torch.zeros(n, dtype=torch.float64, device=pairs.device)
        gram, cross, row_sum = zeros.new_zeros(n, n), zeros.clone(), zeros.clone()
        mean_square = zeros.new_zeros(())
        low, high = torch.full_like(zeros, torch.inf), torch.full_like(zeros, -torch.inf)
        shift = float(np.mean(features[0], dtype=np.float64))
        for start in range(0, width, block):
            columns = np.array(features[:, start : start + block], dtype=np.float64)
            x = torch.from_numpy(columns).to(pairs.device)
            low, high = torch.minimum(low, x.amin(1)), torch.maximum(high, x.amax(1))
            x -= shift
            row_sum += x.sum(1)
            # Less the first row before less the mean: a constant feature is then exactly 0.
            first = x[0].clone()
            x -= first
            mean = x.mean(0)
            x -= mean
            mean += first
            gram.addmm_(x, x.T)
            cross += x @ mean
            mean_square += mean @ mean
        constant = bool(gram.diagonal().max() == 0)
        return cls(pairs, gram, cross, mean_square, row_sum, shift, width, low == high, constant)

    @property
    def n(self) -> int:
        """Number of stimuli."""
        return self.pairs.n

    def subset(self, rows: Tensor, pairs: PairIndex) -> Geometry:
        """Return the geometry of some of the stimuli, as if the others had never been read.

        Parameters
        ----------
        rows : Tensor of int, shape (stimulus of the subset,)
        pairs : PairIndex
            Of as many stimuli as the subset has.
        """
        gram, cross = self.centred[rows][:, rows], self.cross[rows]
        mean = gram.mean(0)
        total = mean.mean()
        centred = gram - mean - (mean - total)[:, None]
        constant = bool(centred.diagonal().max() <= _ZERO * gram.diagonal().max())
        return Geometry(
            pairs,
            centred,
            cross + mean - cross.mean() - total,
            self.mean_square + 2 * cross.mean() + total,
            self.row_sum[rows],
            self.shift,
            self.width,
            self.flat[rows],
            self.constant or constant,
        )

    @cached_property
    def squared_distances(self) -> Tensor:
        """Squared Euclidean distances of the patterns, at least 0, (stimulus, stimulus)."""
        square = self.centred.diagonal()
        sizes = square + square[:, None]
        distances = sizes - 2 * self.centred
        distances.masked_fill_(distances <= _ZERO * sizes, 0.0).fill_diagonal_(0.0)
        return distances

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
        covariances = self._shifted - torch.outer(self.row_sum, self.row_sum / self.width)
        return _normalised(covariances)

    @cached_property
    def cosines(self) -> Tensor | None:
        """Cosines of the patterns, as they are (not centred), (stimulus, stimulus).

        None where one is not defined: a pattern that is zero.
        """
        sums = self.shift * self.row_sum
        products = self._shifted + sums + sums[:, None] + self.width * self.shift**2
        return _normalised(products)

    @property
    def _shifted(self) -> Tensor:
        """Inner products of the patterns less ``shift``."""
        return self.centred + (self.cross + self.mean_square) + self.cross[:, None]


def _normalised(products: Tensor) -> Tensor | None:
    square = products.diagonal()
    if bool((square <= 0).any()):
        return None
    size = square.sqrt()
    return products.div_(size).div_(size[:, None]).clamp_(-1.0, 1.0)
