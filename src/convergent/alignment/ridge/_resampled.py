"""Held-out correlations over resampled test stimuli, without fitting anew."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment._means import region_means
from convergent.alignment.ridge._columns import correlation
from convergent.alignment.ridge._targets import tiles
from convergent.errors import DataError

Floats = NDArray[np.float64]

# Bytes of products (target, 5, test) at once.
BUDGET = 32 * 2**20


def weighted_r(prediction: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Pearson r of predictions and truth over weighted samples.

    A resample that draws sample i w_i times is the weight w_i. The five moments that r needs are
    sums over samples, so that one product of matrices gives them for every resample.

    Parameters
    ----------
    prediction, truth : Tensor, shape (target, test)
    weights : Tensor of float64, shape (bootstrap, test)
        Not negative.

    Returns
    -------
    Tensor of float64, shape (bootstrap, target)
        NaN where the truth is constant over the samples drawn; 0 where the prediction is.
    """
    p = _unit(prediction.to(torch.float64))
    y = _unit(truth.to(torch.float64))
    moments = torch.stack([p, y, p * y, p * p, y * y]) @ weights.T
    total = weights.sum(dim=1).clamp(min=1.0)
    sp, sy, spy, spp, syy = moments / total
    # rounding leaves a constant side a variance of about 1e-16 of its mean square
    eps = 1e-13
    vp, vy = spp - sp.square(), syy - sy.square()
    vp = torch.where(vp > eps * spp, vp, 0.0)
    vy = torch.where(vy > eps * syy, vy, 0.0)
    r = correlation(spy - sp * sy, (vp * vy).sqrt())
    return torch.where(vy > 0, r, torch.nan).T


def _unit(values: Tensor) -> Tensor:
    """Centre and scale rows: r does not change, and moments keep their digits."""
    centred = values - values.mean(dim=1, keepdim=True)
    size = centred.abs().amax(dim=1, keepdim=True)
    return centred / torch.where(size > 0, size, 1.0)


class Resampled:
    """Held-out r of one fold over resampled test samples, a block of targets after the other.

    Parameters
    ----------
    weights : ndarray, shape (bootstrap, test)
    targets : int
    region_index : array_like of int, shape (target,), optional
        Reduce to region means.
    """

    def __init__(
        self, weights: NDArray[np.generic], targets: int, region_index: ArrayLike | None
    ) -> None:
        self._weights = torch.from_numpy(np.asarray(weights, dtype=np.float64))
        self._r = np.full((len(weights), targets), np.nan)
        self._region_index = region_index

    def put(self, start: int, prediction: Tensor, truth: Tensor, known: NDArray[np.bool_]) -> None:
        """Add targets from ``start`` on."""
        weights = self._weights.to(truth.device)
        size = max(1, BUDGET // (5 * 8 * max(truth.shape[1], len(weights))))
        for first, last in tiles(len(truth), size):
            r = weighted_r(prediction[first:last], truth[first:last], weights).cpu().numpy()
            self._r[:, start + first : start + last] = np.where(known[first:last], r, np.nan)

    def reduced(self) -> Floats:
        """Give (bootstrap, target), or (bootstrap, region)."""
        if self._region_index is None:
            return self._r
        return region_means(self._r, self._region_index, int(np.max(self._region_index)) + 1)


def check_weights(weights: ArrayLike, samples: int) -> NDArray[np.generic]:
    """Check weights of resamples, (bootstrap, sample).

    Raises
    ------
    DataError
        Another shape, or negative.
    """
    array = np.asarray(weights)
    if array.ndim != 2 or array.shape[1] != samples or not (array >= 0).all():
        raise DataError(
            f"weights of shape {array.shape} for {samples} samples",
            where="ridge",
            fix="give (bootstrap, sample), none negative",
        )
    return array
