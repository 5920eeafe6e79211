"""Centring and scaling by training rows."""

from __future__ import annotations

import torch
from torch import Tensor

from convergent.alignment._constant import is_constant, mean_of


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
        Columns that are constant over the training rows (`is_constant`) become exactly 0 in both:
        what never varied in training has no weight.
    """
    constant = is_constant(train)
    mean = mean_of(train)
    centred = torch.where(constant, 0.0, train - mean)
    outside = torch.where(constant, 0.0, test - mean)
    if not scale:
        return centred, outside
    # unit size first: squares of very small numbers would underflow
    size = torch.where(constant, 1.0, centred.abs().amax(dim=0))
    centred, outside = centred / size, outside / size
    sd = torch.where(constant, 1.0, centred.square().mean(dim=0).sqrt())
    return centred / sd, outside / sd
