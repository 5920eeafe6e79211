"""Checks that all ceilings share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import DataError, NumericalError

Floats = NDArray[np.float64]


def finite(values: ArrayLike, axes: int, names: str) -> Floats:
    """Refuse arrays of other axes, and any value that is not finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != axes or array.size == 0:
        raise DataError(f"array of shape {array.shape}", where="noise ceiling", fix=f"give {names}")
    if not np.isfinite(array).all():
        raise NumericalError(
            f"NaN or infinity in {int((~np.isfinite(array)).sum())} of {array.size} values",
            where="noise ceiling",
            fix="leave out the subjects or targets concerned",
        )
    return array


def at_least_two(count: int, what: str) -> None:
    """Refuse a ceiling of a single measurement."""
    if count < 2:
        raise DataError(f"{count} {what}", where="noise ceiling", fix=f"use 2 or more {what}")
