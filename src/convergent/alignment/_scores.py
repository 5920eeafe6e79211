"""Scores of predictions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment._constant import is_constant, mean_of
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


def pearson_columns(prediction: Tensor, response: Tensor) -> Tensor:
    """`pearson` along the first axis of tensors."""
    p = prediction - mean_of(prediction)
    y = response - mean_of(response)
    # Unit scale first: squares of very small predictions (large alpha) would underflow.
    p = p / _nonzero(p.abs().amax(dim=0))
    y = y / _nonzero(y.abs().amax(dim=0))
    norm = torch.sqrt((p * p).sum(dim=0) * (y * y).sum(dim=0))
    r = ((p * y).sum(dim=0) / _nonzero(norm)).clamp(-1.0, 1.0)
    r = torch.where(is_constant(prediction), torch.zeros_like(r), r)
    return torch.where(is_constant(response), torch.full_like(r, torch.nan), r)


def r2_columns(prediction: Tensor, response: Tensor) -> Tensor:
    """`r2` along the first axis of tensors."""
    centred = response - mean_of(response)
    size = _nonzero(centred.abs().amax(dim=0))  # squares of very small numbers would underflow
    residual = ((response - prediction) / size).square().sum(dim=0)
    value = 1.0 - residual / _nonzero((centred / size).square().sum(dim=0))
    return torch.where(is_constant(response), torch.full_like(value, torch.nan), value)


def _nonzero(values: Tensor) -> Tensor:
    return torch.where(values == 0, torch.ones_like(values), values)
