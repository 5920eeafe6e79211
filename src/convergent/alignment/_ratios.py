"""Relative weights of feature spaces, of which banded ridge chooses one for each target."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import ConfigError

Floats = NDArray[np.float64]

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
