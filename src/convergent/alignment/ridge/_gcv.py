"""Choosing alpha by generalised cross-validation, in closed form on squared projections."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from convergent.alignment.ridge._columns import Columns, correlation
from convergent.alignment.ridge._eigen import Eigen
from convergent.alignment.ridge._filter import Filter
from convergent.alignment.ridge._targets import Block

Floats = NDArray[np.float64]


class GcvFold:
    """One outer fold whose alphas minimise the generalised cross-validation error.

    For residuals e = (I - H) y with df = tr(H) + 1 (the intercept), the error of an alpha is
    |e|^2 / n / (1 - df / n)^2. With w_j = alpha / (l_j + alpha), the shares of the components
    that the fit leaves, both parts follow from the squared projections c_j^2 = (u_j' y)^2 and
    what lies outside the features' span, |y|^2 - sum_j c_j^2: all alphas of all targets are one
    product, and near interpolation nothing is subtracted.

    The inner score is the correlation of the responses with leave-one-out predictions (their
    feature part, see `LooFold`) in which each sample has the mean leverage, as in the error
    itself; it too follows from the squared projections.

    References
    ----------
    Golub, Heath & Wahba, Technometrics 21 (1979) 215-223, eq. 1.4.
    """

    def __init__(self, eigen: Eigen, alphas: Floats, dtype: torch.dtype) -> None:
        self._filter = Filter(eigen, alphas, dtype)
        n, r = eigen.n, eigen.values.numel()
        grid = torch.from_numpy(alphas).to(eigen.values)[:, None]
        left = grid / (eigen.values + grid)  # (alpha, component)
        outside = n - 1 - r
        free = left.sum(dim=1, keepdim=True) + outside  # n - df
        gap = free / (n - 1)
        # leave-one-out part: share of a component in the prediction, less the mean leverage
        part = gap - left
        self._tables = torch.cat([left.square(), part, part.square()]).T.to(dtype)
        self._free = free[:, 0].square()
        self._outside = (gap - 1.0)[:, 0]  # the same for what no feature reaches
        self._full = eigen.full
        self._count = len(alphas)

    def score(self, block: Block, *, keep: bool = False) -> Columns:
        """Choose alpha on the training responses and score the test responses."""
        projected = block.train @ self._filter.basis
        sums = (projected.square() @ self._tables).to(torch.float64)
        residual, cross, size = sums.reshape(len(sums), 3, self._count).unbind(dim=1)
        whole = block.train.square().sum(dim=1, dtype=torch.float64)
        rest = torch.zeros_like(whole)
        if not self._full:
            within = projected.square().sum(dim=1, dtype=torch.float64)
            rest = (whole - within).clamp(min=0.0)
        index = ((residual + rest[:, None]) / self._free).argmin(dim=1)
        found = self._filter.score(projected, index, block, keep=keep)
        at = index[:, None]
        outside = self._outside[index]
        covariance = cross.gather(1, at)[:, 0] + outside * rest
        variance = size.gather(1, at)[:, 0] + outside.square() * rest
        norm = (variance * whole).sqrt()
        inner = torch.where(whole > 0, correlation(covariance, norm), torch.nan)
        return Columns(index, inner, found.r, found.r2, found.prediction)
