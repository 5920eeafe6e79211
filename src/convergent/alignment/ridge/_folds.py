"""Choosing alpha by inner folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment._splits import Index, Split, positions_of
from convergent.alignment.ridge._columns import Columns, correlation
from convergent.alignment.ridge._eigen import diagonalise
from convergent.alignment.ridge._gcv import Filter
from convergent.alignment.ridge._maps import InnerRows, dual_maps, primal_maps
from convergent.alignment.ridge._space import Primal, Source, smaller_space
from convergent.alignment.ridge._targets import Block, tiles

Floats = NDArray[np.float64]

# Bytes of held-out predictions (target, skeleton, inner test) at once, unless that is fewer than
# this many targets: products of few rows run slower.
BUDGET, FEWEST = 8 * 2**20, 768


class InnerFolds:
    """One outer fold whose alphas minimise the mean over inner folds of the squared error.

    Features are scaled by the whole outer training set and centred anew, as are the responses,
    in each inner fold: scikit-learn's ``GridSearchCV(Ridge(), scoring="neg_mean_squared_error")``
    and himalaya's ``RidgeCV``, each after a StandardScaler.

    The inner score is the mean over inner folds of the Pearson r at the chosen alpha.

    Parameters
    ----------
    source : Source
    split : Split
    inner : sequence of Split
        Rows of the complete data, within ``split.train``.
    alphas : ndarray, shape (alpha,)
    columns : int
        How many targets will come, permuted ones counted: decides which side is cheaper.
    dtype : torch.dtype
    device : torch.device
    """

    def __init__(
        self,
        source: Source,
        split: Split,
        inner: Sequence[Split],
        alphas: Floats,
        *,
        columns: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self._rows = _positions(split, inner, device)
        space = smaller_space(source, split)
        eigen = diagonalise(space, source, split, smallest_alpha=float(alphas[0]))
        self._filter = Filter(eigen, alphas, dtype)
        cheaper = _features_are_cheaper(source.width, split.train.size, len(inner), columns)
        if isinstance(space, Primal) and cheaper:
            self._maps = primal_maps(space, eigen.values, self._rows, alphas, dtype)
        else:
            gram = space.train @ space.train.T if isinstance(space, Primal) else space.gram
            self._maps = dual_maps(gram, eigen.values, self._rows, alphas, dtype)
        found = self._maps.skeleton
        others = np.setdiff1d(np.arange(len(alphas)), found.rows)
        self._mix = torch.from_numpy(found.mix[others]).to(device, dtype)
        # column of each alpha when the skeleton's come first
        self._order = torch.from_numpy(np.argsort(np.concatenate([found.rows, others]))).to(device)
        self._alphas = len(alphas)

    def score(self, block: Block, *, keep: bool = False) -> Columns:
        """Choose alpha on the training responses and score the test responses."""
        y = block.train
        largest = max(len(m) for m in self._maps.inner)
        size = max(FEWEST, BUDGET // (largest * y.element_size()))
        parts = [self._choose(y[start:stop]) for start, stop in tiles(len(y), size)]
        index = torch.cat([p[0] for p in parts])
        inner_r = torch.cat([p[1] for p in parts])
        found = self._filter.score(y @ self._filter.basis, index, block, keep=keep)
        return Columns(index, inner_r, found.r, found.r2, found.prediction)

    def _choose(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the chosen alpha and its inner r."""
        loss = y.new_zeros((len(y), self._alphas), dtype=torch.float64)
        total_r, known = torch.zeros_like(loss), torch.zeros_like(loss[:, :1])
        basis = self._maps.basis
        projected = None if basis is None else y @ basis
        whole = y.sum(dim=1)
        for rows, maps in zip(self._rows, self._maps.inner, strict=True):
            left_out = y.index_select(1, rows.left_out)
            mean = (whole - left_out.sum(dim=1)) / rows.train.numel()
            if basis is None or projected is None:
                inputs = y.index_select(1, rows.train)
            else:
                inputs = projected - left_out @ basis.index_select(0, rows.left_out)
            predictions = (inputs @ maps.T).reshape(len(y), -1, rows.test.numel())
            truth = y.index_select(1, rows.test) - mean[:, None]
            errors, r = self._compare(predictions, truth)
            varies = (truth.amax(dim=1) != truth.amin(dim=1))[:, None]
            loss += errors / rows.test.numel()
            total_r += torch.where(varies, r, 0.0)
            known += varies
        index = loss.argmin(dim=1)
        inner = (total_r / known).gather(1, index[:, None])[:, 0]  # 0 / 0: no fold knows
        varies = (y.amax(dim=1) != y.amin(dim=1)) & (known[:, 0] > 0)
        return index, torch.where(varies, inner, torch.nan)

    def _compare(self, predictions: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        """Squared error and r of every alpha, (target, alpha), from those of the skeleton."""
        parts = [_products(predictions, truth)]
        if len(self._mix):
            parts.append(_products(self._mix @ predictions, truth))
        squares, with_truth, sums = (
            torch.cat(columns, dim=1).to(torch.float64)[:, self._order]
            for columns in zip(*parts, strict=True)
        )
        count = truth.shape[1]
        whole = truth.square().sum(dim=1, dtype=torch.float64)[:, None]
        total = truth.sum(dim=1, dtype=torch.float64)[:, None]
        errors = whole - 2.0 * with_truth + squares
        covariance = with_truth - sums * total / count
        variance = (squares - sums.square() / count) * (whole - total.square() / count)
        norm = variance.clamp(min=0.0).sqrt()
        return errors, correlation(covariance, norm)


def _products(predictions: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over the test samples of squares, of products with the truth, and of predictions."""
    size = torch.linalg.vector_norm(predictions, dim=2)
    sides = torch.stack([truth, torch.ones_like(truth)], dim=2)
    products = predictions @ sides
    return size.square(), products[:, :, 0], products[:, :, 1]


def _features_are_cheaper(width: int, n: int, folds: int, columns: int) -> bool:
    """Compare the work of both sides an alpha: the maps (float64, twice the price), the sweep."""
    samples = 2.0 * (1.33 * n**3) + columns * n * n * (1.0 - 1.0 / folds)
    features = 2.0 * (folds * width**3 / 3 + 4 * n * width**2) + columns * n * width
    return features < samples


def _positions(split: Split, inner: Sequence[Split], device: torch.device) -> tuple[InnerRows, ...]:
    def find(rows: Index) -> Tensor:
        return torch.from_numpy(positions_of(rows, split.train)).to(device)

    return tuple(InnerRows.of(find(s.train), find(s.test), split.train.size) for s in inner)
