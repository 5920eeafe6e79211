"""How many directions a layer's features use."""

from __future__ import annotations

import torch
from numpy.typing import ArrayLike

from convergent.alignment._constant import is_constant, mean_of
from convergent.alignment._validate import finite_features
from convergent.device import resolve_device


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
