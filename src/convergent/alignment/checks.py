"""What the fits refuse, said before anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from convergent.errors import ConfigError, DataError, NumericalError

Floats = NDArray[np.float64]


def alpha_grid(low: float, high: float, number: int) -> Floats:
    """Ridge penalties from 10^low to 10^high, evenly spaced in the logarithm.

    Returns
    -------
    ndarray of float64, shape (alpha,)
    """
    return check_alphas(np.logspace(low, high, number))


def check_alphas(alphas: ArrayLike) -> Floats:
    """Return the grid if it is positive, finite and strictly increasing.

    Raises
    ------
    ConfigError
        Otherwise: ties go to the first alpha, which must mean the smallest.
    """
    grid = np.atleast_1d(np.array(alphas, dtype=np.float64))
    good = grid.ndim == 1 and grid.size > 0 and np.isfinite(grid).all() and grid[0] > 0
    if not good or (np.diff(grid) <= 0).any():
        raise ConfigError(
            "alphas are not positive and strictly increasing",
            where="ridge",
            fix="use alpha_grid(low, high, number) with low < high",
        )
    return grid


def finite_features(features: ArrayLike) -> Floats:
    """Return features as float64 (sample, feature), all finite.

    Raises
    ------
    DataError
        Not two axes, or empty.
    NumericalError
        NaN or infinity; the message counts the features concerned.
    """
    return _finite(features, "feature", "record the layer as failed, or run it in float32")


def finite_floats(features: ArrayLike) -> NDArray[np.float32] | Floats:
    """Return features as they are, half precision as float32, others as float64; all finite.

    Raises
    ------
    DataError, NumericalError
        As `finite_features`.
    """
    given = np.asarray(features)
    single = given.dtype in (np.float16, np.float32)
    fix = "record the layer as failed, or run it in float32"
    return _finite(given, "feature", fix, np.float32 if single else np.float64)


def finite_responses(responses: ArrayLike) -> Floats:
    """Return responses as float64 (sample, target), all finite.

    Raises
    ------
    DataError, NumericalError
    """
    return _finite(responses, "target", "leave out the targets or the subject in the reader")


def _finite(
    values: ArrayLike, column: str, fix: str, dtype: type[np.floating] = np.float64
) -> NDArray[Any]:
    # Writable as well: torch warns about sharing memory that it may not write to.
    array = np.require(values, dtype=dtype, requirements=["C", "W"])
    if array.ndim != 2 or 0 in array.shape:
        raise DataError(
            f"array of shape {array.shape} where (sample, {column}) is needed",
            where="ridge",
            fix="give two non-empty axes",
        )
    bad = int((~np.isfinite(array)).any(axis=0).sum())
    if bad:
        raise NumericalError(
            f"NaN or infinity in {bad} of {array.shape[1]} {column}s", where="ridge", fix=fix
        )
    return array


DTYPES = {"float32": torch.float32, "float64": torch.float64}


def resolve_dtype(name: str) -> torch.dtype:
    """Turn ``float32`` or ``float64`` into a torch dtype.

    Raises
    ------
    ConfigError
        Any other name.
    """
    if name not in DTYPES:
        raise ConfigError(f"dtype '{name}' is not supported", fix="use float32 or float64")
    return DTYPES[name]
