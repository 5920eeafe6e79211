"""Held-out correlations over resampled test stimuli, without fitting anew."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment._constant import is_constant, is_constant_range, mean_of
from convergent.alignment._means import region_means
from convergent.alignment.ridge._columns import correlation
from convergent.alignment.ridge._targets import tiles
from convergent.errors import DataError

Floats = NDArray[np.float64]

# Bytes of products (target, 5, test) at once.
BUDGET = 32 * 2**20

# Share of the mean square below which a variance by subtraction is computed once more.
DOUBT = 1e-6


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
    flat = is_constant(truth, dim=1)
    p, y = _unit(prediction.to(torch.float64)), _unit(truth.to(torch.float64))
    moments = torch.stack([p, y, p * y, p * p, y * y]) @ weights.T
    sp, sy, spy, spp, syy = moments / weights.sum(dim=1).clamp(min=1.0)
    vp, vy = (spp - sp.square()).clamp(min=0.0), (syy - sy.square()).clamp(min=0.0)
    r = correlation(spy - sp * sy, (vp * vy).sqrt())
    # Where subtraction left few digits, the samples drawn are looked at themselves.
    doubtful = ((vp <= DOUBT * spp) & (spp > 0)) | (vy <= DOUBT * syy)
    target, resample = torch.nonzero(doubtful & ~flat[:, None]).T
    size = max(1, BUDGET // (5 * 8 * weights.shape[1]))
    for t, b in zip(target.split(size), resample.split(size), strict=True):
        r[t, b] = _of_drawn(prediction[t].double(), truth[t].double(), weights[b])
    return torch.where(flat[:, None], torch.nan, r).T


def _of_drawn(prediction: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Pearson r of each row over its own weighted samples, in two passes, (row,)."""
    drawn, share = weights > 0, weights / weights.sum(dim=1, keepdim=True).clamp(min=1.0)
    sides, flat = [], []
    for values in (prediction, truth):
        low, high = values.where(drawn, torch.inf).amin(1), values.where(drawn, -torch.inf).amax(1)
        flat.append(is_constant_range(low, high))
        shifted = torch.where(drawn, values - low[:, None], 0.0)
        mean = (shifted * share).sum(dim=1, keepdim=True)
        sides.append(_over_size(torch.where(drawn, shifted - mean, 0.0)))
    p, y = sides
    norm = ((p * p * share).sum(dim=1) * (y * y * share).sum(dim=1)).sqrt()
    r = correlation((p * y * share).sum(dim=1), norm).masked_fill(flat[0], 0.0)
    return r.masked_fill(flat[1], torch.nan)


def _unit(values: Tensor) -> Tensor:
    """Centre and scale rows: r does not change, and moments keep their digits."""
    centred = values - mean_of(values, dim=1)
    return _over_size(centred.masked_fill(is_constant(values, dim=1)[:, None], 0.0))


def _over_size(values: Tensor) -> Tensor:
    size = values.abs().amax(dim=1, keepdim=True)
    return values / torch.where(size > 0, size, 1.0)


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
