"""Choosing alpha by leave-one-out, in closed form."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment.ridge._columns import Columns, correlation
from convergent.alignment.ridge._compress import TOLERANCE, compress
from convergent.alignment.ridge._eigen import Eigen
from convergent.alignment.ridge._filter import Filter
from convergent.alignment.ridge._targets import Block, tiles

Floats = NDArray[np.float64]

# Bytes of residuals (target, alpha, train) at once.
BUDGET = 4 * 2**20


class LooFold:
    """One outer fold whose alphas minimise the mean squared leave-one-out error.

    For the training residuals e = y - H y, with H = 1/n + U diag(L / (L + alpha)) U', the error
    of sample i predicted by a fit (with intercept) to the others is e_i / (1 - H_ii).
    Standardisation is that of the whole training set, as in scikit-learn's RidgeCV after a
    StandardScaler.

    The inner score correlates the responses with the *feature part* of the leave-one-out
    predictions, (x_i - mean of the other x)' w_i. The complete prediction also has the mean of
    the other responses, which falls as y_i rises: without any signal it correlates with y at -1,
    and would do so more the larger alpha is. The covariance of the feature part with independent
    y is 0 in the mean.

    References
    ----------
    Rifkin & Lippert, MIT-CSAIL-TR-2007-025, section 3.
    """

    def __init__(self, eigen: Eigen, alphas: Floats, dtype: torch.dtype) -> None:
        self._filter = Filter(eigen, alphas, dtype)
        self._full, n = eigen.full, eigen.n
        self._outside = n / (n - 1)  # y less the mean of the others, from y less the mean of all
        grid = torch.from_numpy(alphas).to(eigen.values)[:, None]
        squares = eigen.basis.square()
        shrink = eigen.values / (eigen.values + grid)
        leverage = shrink @ squares.T
        clear = 1.0 - 1.0 / n - leverage
        # Rows of `table` filter the projections: to the residual where the components span all
        # training vectors (1 - H is then small as alpha goes to 0, and is summed, not
        # subtracted), in units of its mean; else to the prediction.
        table, gap = shrink, clear
        self._near = torch.zeros_like(grid[:, 0], dtype=torch.bool)
        if eigen.full:
            left = grid / (eigen.values + grid)
            table = left / left.mean(dim=1, keepdim=True)
            gap = table @ squares.T
            self._near = grid[:, 0] < eigen.values.median()
        values = eigen.values.cpu().numpy()
        # half the tolerance: division by the gap makes errors larger
        size = np.full(len(alphas), 0.5)
        found = compress(table.cpu().numpy(), values, size, TOLERANCE[dtype])
        self._table, self._gap = table.to(dtype), gap.to(dtype)
        # Predictions themselves, for alphas at which residuals are nearly all of the responses
        self._shrink, self._leverage = shrink.to(dtype), leverage.to(dtype)
        self._clear = clear.to(dtype)
        self._functions = torch.from_numpy(found.functions).to(table.device, dtype)
        fewer = found.mix.shape[0] != found.mix.shape[1]
        self._mix = torch.from_numpy(found.mix).to(table.device, dtype) if fewer else None

    def score(self, block: Block, *, keep: bool = False) -> Columns:
        """Choose alpha on the training responses and score the test responses."""
        basis = self._filter.basis
        projected = block.train @ basis
        itemsize = block.train.element_size()
        size = max(1, BUDGET // (self._gap.numel() * itemsize))
        index = torch.cat(
            [
                self._errors(block.train[start:stop], projected[start:stop]).argmin(dim=1)
                for start, stop in tiles(len(projected), size)
            ]
        )
        found = self._filter.score(projected, index, block, keep=keep)
        inner = self._inner(block.train, projected, index)
        return Columns(index, inner, found.r, found.r2, found.prediction)

    def _errors(self, y: Tensor, projected: Tensor) -> Tensor:
        """Mean squared leave-one-out errors, shape (target, alpha)."""
        filtered = projected[:, None, :] * self._functions
        product = filtered @ self._filter.basis.T
        if self._mix is not None:
            product = self._mix @ product
        if not self._full:
            product = y[:, None, :] - product
        errors = torch.linalg.vector_norm(product.div_(self._gap), dim=2)
        return torch.nan_to_num(errors, nan=torch.inf)

    def _inner(self, y: Tensor, projected: Tensor, index: Tensor) -> Tensor:
        near = self._near[index]
        table = torch.where(near[:, None], self._table[index], self._shrink[index])
        product = (projected * table) @ self._filter.basis.T
        part = torch.where(
            near[:, None],
            y * self._outside - product / self._gap[index],
            (product - y * self._leverage[index] * self._outside) / self._clear[index],
        )
        part, y = part.to(torch.float64), y.to(torch.float64)
        part = part - part.mean(dim=1, keepdim=True)
        norm = (part.square().sum(dim=1) * y.square().sum(dim=1)).sqrt()
        r = correlation((part * y).sum(dim=1), norm)
        return torch.where(y.square().sum(dim=1) > 0, r, torch.nan)
