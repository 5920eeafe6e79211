"""Scores as a share of what noise allows; imports no torch, as tables are made without it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def normalise_by_ceiling(r: ArrayLike, ceiling: ArrayLike, *, threshold: float) -> Floats:
    """Divide r by the square root of the ceiling, keeping its sign.

    Parameters
    ----------
    r, ceiling : array_like, same shape
    threshold : float
        Ceilings below it, or NaN, make the result NaN.

    Returns
    -------
    ndarray of float64
        May exceed 1 in size: the ceiling is an estimate.
    """
    top = np.asarray(ceiling, dtype=np.float64)
    usable = (top >= threshold) & (top > 0)
    value: Floats = np.where(
        usable, np.asarray(r, dtype=np.float64) / np.sqrt(np.where(usable, top, 1.0)), np.nan
    )
    return value
