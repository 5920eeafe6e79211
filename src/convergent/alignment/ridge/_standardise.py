"""Centring and scaling by training rows."""

from __future__ import annotations

import torch
from torch import Tensor

from convergent.alignment._scores import is_constant

EPS = torch.finfo(torch.float64).eps


def standardise(train: Tensor, test: Tensor, *, scale: bool) -> tuple[Tensor, Tensor]:
    """Centre, and optionally scale, columns by the mean and sd of the training rows.

    Parameters
    ----------
    train, test : Tensor of float64, shape (train, column) and (test, column)
    scale : bool
        Divide by the training sd (no degrees of freedom subtracted).

    Returns
    -------
    train, test : Tensor
        Columns that are constant over the training rows (up to rounding of the mean and the
        variance) become exactly 0 in both: what never varied in training has no weight.
    """
    mean = train.mean(dim=0)
    centred = train - mean
    variance = centred.square().mean(dim=0)
    constant = constant_columns(train, mean, variance)
    centred = torch.where(constant, torch.zeros_like(centred), centred)
    outside = torch.where(constant, torch.zeros_like(test), test - mean)
    if not scale:
        return centred, outside
    sd = torch.where(constant, torch.ones_like(variance), variance.sqrt())
    return centred / sd, outside / sd


def constant_columns(values: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """Tell which columns vary by no more than rounding, shape (column,)."""
    n = values.shape[0]
    rounding = n * EPS * variance + (n * EPS * mean) ** 2
    return is_constant(values) | (variance <= rounding)
