"""Scores of predictions."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment.checks import finite_features
from convergent.alignment.constant import is_constant, mean_of
from convergent.device import resolve_device
from convergent.errors import ConfigError, DataError

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


# As Dupre la Tour et al. 2022: half of the draws close to a corner or an edge of the simplex,
# where spaces are switched off, half of them uniform.
CONCENTRATIONS = (0.1, 1.0)


def ratio_grid(spaces: int, number: int, *, decades: float = 4.0, seed: int = 0) -> Floats:
    """Weights of the spaces on the simplex, equal weights first.

    Parameters
    ----------
    spaces : int
        At least 2.
    number : int
        Number of candidates. With two spaces an odd number has equal weights among them; with
        more they always are.
    decades : float
        Two spaces: the weight of the first over that of the second goes from 10^-decades to
        10^decades, evenly spaced in the logarithm. More: no weight is below 10^-decades of the
        largest.
    seed : int
        Of the Dirichlet draws for three spaces or more; two spaces are not random.

    Returns
    -------
    ndarray of float64, shape (ratio, space)
        Rows sum to 1; the more balanced first, for two spaces, since ties go to the first.

    Raises
    ------
    ConfigError

    References
    ----------
    Dupre la Tour et al., NeuroImage 264 (2022) 119728, section 2.5 (random search).
    """
    if spaces < 2 or number < 1 or not 0 < decades < 100:
        raise ConfigError(
            f"{number} ratios of {spaces} feature spaces over {decades} decades",
            where="banded ridge",
            fix="use 2 or more spaces, 1 or more ratios, and a positive number of decades",
        )
    equal = np.full((1, spaces), 1.0 / spaces)
    if number == 1:
        return equal
    if spaces == 2:
        exponents = np.linspace(-decades, decades, number)
        odds = 10.0 ** exponents[np.argsort(np.abs(exponents), kind="stable")]
        return np.stack([1.0 / (1.0 + 1.0 / odds), 1.0 / (1.0 + odds)], axis=1)
    rng = np.random.default_rng(seed)
    draws = [
        rng.dirichlet(np.full(spaces, CONCENTRATIONS[k % len(CONCENTRATIONS)]))
        for k in range(number - 1)
    ]
    weights = np.stack([equal[0], *draws])
    floored = np.maximum(weights, weights.max(axis=1, keepdims=True) * 10.0**-decades)
    return check_ratios(floored, spaces)


def check_ratios(ratios: ArrayLike, spaces: int) -> Floats:
    """Return the weights, scaled to sum to 1, if they are positive and finite.

    Parameters
    ----------
    ratios : array_like, shape (ratio, space)
    spaces : int

    Returns
    -------
    ndarray of float64, shape (ratio, space)

    Raises
    ------
    ConfigError
        Otherwise. A weight of exactly 0 is an infinite penalty, whose logarithm says nothing.
    """
    weights = np.array(ratios, dtype=np.float64)
    good = weights.ndim == 2 and weights.shape[0] > 0 and weights.shape[1] == spaces
    if not good or not np.isfinite(weights).all() or (weights <= 0).any():
        raise ConfigError(
            f"ratios of shape {weights.shape} are not positive weights of {spaces} feature spaces",
            where="banded ridge",
            fix="use ratio_grid(spaces, number)",
        )
    scaled: Floats = weights / weights.sum(axis=1, keepdims=True)
    return scaled


def ratios_among(ratios: Floats, spaces: tuple[int, ...]) -> Floats:
    """Keep some of the spaces, and the different weights among them.

    Returns
    -------
    ndarray of float64, shape (ratio, kept space)
        Rows sum to 1, in the order of their first occurrence.
    """
    kept = ratios[:, spaces] / ratios[:, spaces].sum(axis=1, keepdims=True)
    _, first = np.unique(kept.round(12), axis=0, return_index=True)
    different: Floats = kept[np.sort(first)]
    return different


def effective_dimensionality(features: ArrayLike, *, device: str = "cpu") -> float:
    """Participation ratio (sum L)^2 / sum L^2 of the covariance eigenvalues L.

    Both sums are traces, tr(C) = ||X||^2 and tr(C^2) = ||X'X||^2 = ||XX'||^2 of the centred
    features X, so no eigendecomposition is needed and the smaller Gram matrix serves.

    Parameters
    ----------
    features : array_like, shape (sample, feature)
    device : str

    Returns
    -------
    float
        Between 1 and min(sample - 1, feature); 0 when no feature varies.

    Raises
    ------
    NumericalError
        NaN or infinity in the features.

    References
    ----------
    Gao et al., "A theory of multineuronal dimensionality, dynamics and measurement",
    bioRxiv 214262 (2017).
    """
    x = torch.from_numpy(finite_features(features)).to(resolve_device(device))
    x = x[:, ~is_constant(x)]
    if x.shape[1] == 0:
        return 0.0
    x = x - mean_of(x)
    x = x / x.abs().max()
    gram = x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x
    return float(gram.diagonal().sum() ** 2 / gram.square().sum())
