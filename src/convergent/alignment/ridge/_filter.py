"""Exact held-out predictions at each target's own alpha."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment._constant import mean_of
from convergent.alignment.ridge._columns import Columns, held_out
from convergent.alignment.ridge._eigen import Eigen
from convergent.alignment.ridge._targets import Block

Floats = NDArray[np.float64]

# Bytes of one map an alpha, up to which maps are made. Beyond that, projections first.
MAPS = 64 * 2**20


class Filter:
    """Predictions of one fold from projections on the principal axes, in the products' dtype.

    Parameters
    ----------
    eigen : Eigen
    alphas : ndarray, shape (alpha,)
    dtype : torch.dtype
    """

    def __init__(self, eigen: Eigen, alphas: Floats, dtype: torch.dtype) -> None:
        grid = torch.from_numpy(alphas).to(eigen.values)
        self.basis = eigen.basis.to(dtype)
        self._filters = (eigen.values.sqrt() / (eigen.values + grid[:, None])).to(dtype)
        mean = mean_of(eigen.test)[0]
        self._test = (eigen.test - mean).to(dtype)
        self._mean = mean.to(dtype)
        size = len(alphas) * self._test.shape[0] * self.basis.shape[0] * self.basis.element_size()
        self._maps: dict[int, Tensor] | None = {} if size <= MAPS else None

    def score(self, projected: Tensor, index: Tensor, block: Block, *, keep: bool) -> Columns:
        """Predict and score the test samples at the chosen alphas; inner_r is left empty.

        Parameters
        ----------
        projected : Tensor, shape (target, component)
        index : Tensor of int64, shape (target,)
        """
        weights = projected * self._filters[index]
        return _scored(weights @ self._test.T, weights @ self._mean, index, block, keep=keep)

    def score_responses(self, index: Tensor, block: Block, *, keep: bool) -> Columns:
        """Do the same where nothing else needs projections: by a map an alpha, if these are small.

        A map is made when the first target needs it.
        """
        y = block.train
        if self._maps is None:
            return self.score(y @ self.basis, index, block, keep=keep)
        prediction = y.new_empty((len(y), self._test.shape[0]))
        offset = y.new_empty(len(y))
        for alpha in torch.unique(index).tolist():
            if alpha not in self._maps:
                sides = torch.cat([self._test, self._mean[None]])
                self._maps[alpha] = (sides * self._filters[alpha]) @ self.basis.T
            mine = torch.nonzero(index == alpha)[:, 0]
            found = y.index_select(0, mine) @ self._maps[alpha].T
            prediction[mine], offset[mine] = found[:, :-1], found[:, -1]
        return _scored(prediction, offset, index, block, keep=keep)


def _scored(
    prediction: Tensor, offset: Tensor, index: Tensor, block: Block, *, keep: bool
) -> Columns:
    offset = offset.to(torch.float64)
    r, r2 = held_out(prediction, offset, block.test, block.level, block.constant)
    kept = prediction.to(torch.float64) + offset[:, None] if keep else None
    return Columns(index, torch.full_like(r, torch.nan), r, r2, kept)
