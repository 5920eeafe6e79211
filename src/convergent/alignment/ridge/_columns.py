"""Scores of targets on one fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from convergent.alignment._constant import mean_of


@dataclass(frozen=True)
class Columns:
    """What one fold says of some targets; tensors of float64, int64 for the index.

    Attributes
    ----------
    index : Tensor, shape (target,)
        Position of the chosen alpha in the grid.
    inner_r, r, r2 : Tensor, shape (target,)
    prediction : Tensor, shape (target, test), or None
        In units of the training sd, about the training mean.
    """

    index: Tensor
    inner_r: Tensor
    r: Tensor
    r2: Tensor
    prediction: Tensor | None = None

    @classmethod
    def join(cls, parts: Sequence[Columns]) -> Columns:
        """Put pieces behind one another."""
        predictions = [p.prediction for p in parts if p.prediction is not None]
        return cls(
            torch.cat([p.index for p in parts]),
            torch.cat([p.inner_r for p in parts]),
            torch.cat([p.r for p in parts]),
            torch.cat([p.r2 for p in parts]),
            torch.cat(predictions) if predictions else None,
        )


def correlation(covariance: Tensor, norm: Tensor) -> Tensor:
    """Divide by the product of two norms; 0 where that is 0."""
    r = torch.where(norm > 0, covariance / torch.where(norm > 0, norm, 1.0), 0.0)
    return r.clamp(-1.0, 1.0)


def held_out(
    prediction: Tensor, offset: Tensor, truth: Tensor, level: Tensor, constant: Tensor
) -> tuple[Tensor, Tensor]:
    """Pearson r and R2 of held-out predictions, in float64.

    Parameters
    ----------
    prediction : Tensor, shape (target, test)
        Less their mean over the test samples: adding it and subtracting it again would cost
        digits in float32.
    offset : Tensor, shape (target,)
        That mean.
    truth : Tensor, shape (target, test)
        Less their mean over the test samples.
    level : Tensor of float64, shape (target,)
        That mean, in units of the predictions.
    constant : Tensor of bool, shape (target,)
        Whether the responses were constant over the test samples, before they were scaled.

    Returns
    -------
    r, r2 : Tensor of float64, shape (target,)
        NaN where the truth is constant; r is 0 where the prediction is.
    """
    p, y = prediction.to(torch.float64), truth.to(torch.float64)
    y = y - mean_of(y, dim=1)  # but for the rounding of float32, 0
    total = y.square().sum(dim=1)
    # unit scale first: squares of very small predictions (large alpha) would underflow
    size = p.abs().amax(dim=1)
    unit = p / torch.where(size > 0, size, 1.0)[:, None]
    norm = (unit.square().sum(dim=1) * total).sqrt()
    r = correlation((unit * y).sum(dim=1), norm)
    residual = (y - p).square().sum(dim=1) + y.shape[1] * (level - offset).square()
    r2 = 1.0 - residual / torch.where(total > 0, total, 1.0)
    undefined = torch.full_like(r, torch.nan)
    return torch.where(constant, undefined, r), torch.where(constant, undefined, r2)
