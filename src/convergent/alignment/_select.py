"""Choosing alpha per target, from training samples only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment._factor import Factor, standardise
from convergent.alignment._means import mean_defined
from convergent.alignment._scores import pearson_columns, r2_columns

Floats = NDArray[np.float64]


class Selection(NamedTuple):
    """The chosen alpha of each target, and how well it predicts training samples.

    Attributes
    ----------
    choice : Tensor of int64, shape (target,)
        Position in the grid.
    inner_r : Tensor, shape (target,)
        Pearson r; NaN for targets that are constant in training.
    """

    choice: Tensor
    inner_r: Tensor


class InnerFold(NamedTuple):
    """One inner fold: its factor and its rows, as positions in the outer training set."""

    factor: Factor
    train: Tensor
    test: Tensor


def select_loo(factor: Factor, y: Tensor, alphas: Floats) -> Selection:
    """Choose alpha by the mean squared leave-one-out error, in closed form.

    With the hat matrix H = 11'/n + Z (L + alpha)^-1 Z', the error of sample i predicted by a fit
    (with intercept) to the others is e_i / (1 - H_ii). Standardisation is that of the whole
    training set, as in scikit-learn's RidgeCV after a StandardScaler.

    The inner score correlates the responses with the *feature part* of the leave-one-out
    predictions, (x_i - mean of the other x)' w_i. The complete prediction also has the mean of
    the other responses, which falls as y_i rises: without any signal it correlates with y
    at -1, and would do so more the larger alpha is. The covariance of the feature part with
    independent y is 0 in the mean.

    Parameters
    ----------
    factor : Factor
    y : Tensor, shape (train, target)
        Centred training responses.
    alphas : ndarray, shape (alpha,)
        Increasing.

    Returns
    -------
    Selection
        Ties go to the smallest alpha.
    """
    z, eigenvalues, n = factor.scores, factor.eigenvalues, factor.n
    projected = z.T @ y
    typical = float(eigenvalues.median()) if eigenvalues.numel() else 0.0
    grid = torch.from_numpy(alphas).to(z.device, z.dtype)
    # Near interpolation 1 - H is small: sum it instead of subtracting H from 1.
    near = (grid < typical) & factor.full
    weight = 1.0 / (eigenvalues[:, None] + grid)
    weight = torch.where(near, weight * grid / eigenvalues[:, None], weight)
    sums = z.square() @ weight
    gap = torch.where(near, sums, 1.0 - 1.0 / n - sums)

    best = torch.full_like(y[0], torch.inf)
    index = torch.zeros(y.shape[1], dtype=torch.int64, device=y.device)
    for a in range(grid.numel()):
        product = z @ (weight[:, a, None] * projected)
        error = (product if near[a] else y - product) / gap[:, a, None]
        loss = error.square().mean(dim=0)
        better = loss < best
        best = torch.where(better, loss, best)
        index = torch.where(better, torch.full_like(index, a), index)

    product = z @ (weight[:, index] * projected)
    outside = n / (n - 1)  # y less the mean of the others, from y less the mean of all
    part = torch.where(
        near[index],
        y * outside - product / gap[:, index],
        (product - y * sums[:, index] * outside) / gap[:, index],
    )
    inner = pearson_columns(part, y)
    return Selection(index, torch.where(best.isinf(), torch.full_like(inner, torch.nan), inner))


def select_folds(folds: Sequence[InnerFold], y: Tensor, alphas: Floats) -> Selection:
    """Choose alpha by the mean R2 over inner folds.

    Features and responses are standardised anew within each inner fold. The inner score is the
    mean over inner folds of the Pearson r at the chosen alpha.

    Parameters
    ----------
    folds : sequence of InnerFold
    y : Tensor, shape (train, target)
        Responses of the outer training set.
    alphas : ndarray, shape (alpha,)
        Increasing.

    Returns
    -------
    Selection
        Ties, and targets without any defined R2, go to the smallest alpha. Inner folds in which
        a target is constant are left out for that target.
    """
    fold_r2, fold_r = [], []
    for fold in folds:
        train = y[fold.train].to(torch.float64)
        test = y[fold.test].to(torch.float64)
        train, test, _, _ = standardise(train, test, scale=True)
        train, test = train.to(fold.factor.scores.dtype), test.to(fold.factor.scores.dtype)
        projected = fold.factor.scores.T @ train
        predictions = [fold.factor.predict(projected, alpha) for alpha in alphas.tolist()]
        fold_r2.append(torch.stack([r2_columns(p, test) for p in predictions]).cpu().numpy())
        fold_r.append(torch.stack([pearson_columns(p, test) for p in predictions]).cpu().numpy())
    score = mean_defined(np.stack(fold_r2))
    index = np.argmax(np.where(np.isnan(score), -np.inf, score), axis=0)
    inner = np.take_along_axis(mean_defined(np.stack(fold_r)), index[None], axis=0)[0]
    return Selection(
        torch.from_numpy(index).to(y.device), torch.from_numpy(inner).to(y.device, y.dtype)
    )
