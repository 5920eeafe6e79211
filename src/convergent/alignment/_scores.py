"""Scores of predictions, and their means over folds and regions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from torch import Tensor

from convergent.errors import DataError

Floats = NDArray[np.float64]


def pearson(prediction: ArrayLike, response: ArrayLike, axis: int = 0) -> Floats:
    """Pearson correlation along one axis.

    Parameters
    ----------
    prediction, response : array_like, same shape
    axis : int
        The sample axis.

    Returns
    -------
    ndarray of float64
        The shape without ``axis``. NaN where the response is constant (undefined: such targets
        say nothing), 0 where only the prediction is constant (a model that predicts nothing).

    Raises
    ------
    DataError
        The shapes differ.
    """
    p, y = _pair(prediction, response, axis)
    return np.asarray(pearson_columns(p, y).numpy())


def r2(prediction: ArrayLike, response: ArrayLike, axis: int = 0) -> Floats:
    """Coefficient of determination, 1 - SSE / SST about the response's own mean.

    Parameters
    ----------
    prediction, response : array_like, same shape
    axis : int
        The sample axis.

    Returns
    -------
    ndarray of float64
        The shape without ``axis``. At most 1, negative when worse than the mean; NaN where the
        response is constant.
    """
    p, y = _pair(prediction, response, axis)
    return np.asarray(r2_columns(p, y).numpy())


def _pair(prediction: ArrayLike, response: ArrayLike, axis: int) -> tuple[Tensor, Tensor]:
    p = np.moveaxis(np.asarray(prediction, dtype=np.float64), axis, 0)
    y = np.moveaxis(np.asarray(response, dtype=np.float64), axis, 0)
    if p.shape != y.shape:
        raise DataError(
            f"predictions {p.shape} and responses {y.shape} differ in shape",
            where="scores",
            fix="give both the same samples and targets",
        )
    return torch.from_numpy(p.copy()), torch.from_numpy(y.copy())


def is_constant(values: Tensor) -> Tensor:
    """Tell which columns hold one value only (exactly: sums would round)."""
    return values.amax(dim=0) == values.amin(dim=0)


def pearson_columns(prediction: Tensor, response: Tensor) -> Tensor:
    """`pearson` along the first axis of tensors."""
    p = prediction - prediction.mean(dim=0)
    y = response - response.mean(dim=0)
    # Unit scale first: squares of very small predictions (large alpha) would underflow.
    p = p / _nonzero(p.abs().amax(dim=0))
    y = y / _nonzero(y.abs().amax(dim=0))
    norm = torch.sqrt((p * p).sum(dim=0) * (y * y).sum(dim=0))
    r = ((p * y).sum(dim=0) / _nonzero(norm)).clamp(-1.0, 1.0)
    r = torch.where(is_constant(prediction), torch.zeros_like(r), r)
    return torch.where(is_constant(response), torch.full_like(r, torch.nan), r)


def r2_columns(prediction: Tensor, response: Tensor) -> Tensor:
    """`r2` along the first axis of tensors."""
    residual = (response - prediction).square().sum(dim=0)
    total = (response - response.mean(dim=0)).square().sum(dim=0)
    value = 1.0 - residual / _nonzero(total)
    return torch.where(is_constant(response), torch.full_like(value, torch.nan), value)


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values == 0, torch.ones_like(values), values)


def mean_defined(values: ArrayLike, axis: int | tuple[int, ...] = 0) -> Floats:
    """Mean over the values that are not NaN; NaN where there is none."""
    array = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(array)
    total = np.where(known, array, 0.0).sum(axis=axis)
    count = known.sum(axis=axis)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def region_means(values: ArrayLike, region_index: ArrayLike, n_regions: int) -> Floats:
    """Mean over the targets of each region.

    Parameters
    ----------
    values : array_like, shape (..., target)
    region_index : array_like of int, shape (target,)
        Region of each target, 0 to n_regions - 1; -1 for targets outside all regions.
    n_regions : int

    Returns
    -------
    ndarray of float64, shape (..., region)
        NaN targets are left out; NaN where a region has no other target.

    Raises
    ------
    DataError
        Lengths differ or an index is out of range.
    """
    array = np.asarray(values, dtype=np.float64)
    index = np.asarray(region_index)
    if index.shape != array.shape[-1:] or (
        index.size and (index.min() < -1 or index.max() >= n_regions)
    ):
        raise DataError(
            f"region index of shape {index.shape} for values {array.shape} and {n_regions} regions",
            where="region means",
            fix="give one index from -1 to n_regions - 1 a target",
        )
    inside = np.flatnonzero(index >= 0)
    members = sparse.csr_array(
        (np.ones(inside.size), (inside, index[inside])), shape=(index.size, n_regions)
    )
    flat = array.reshape(-1, index.size)
    known = ~np.isnan(flat)
    total = np.where(known, flat, 0.0) @ members
    count = known.astype(np.float64) @ members
    means = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
    shaped: Floats = means.reshape(*array.shape[:-1], n_regions)
    return shaped
