"""What counts as constant, zero or tied: the one place that decides it.

Inputs are judged by their own values, never by a product or a variance of them: the rounding of a
product depends on the processor, the number of threads and the order of the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


# Values are constant when they differ by at most 32 units in the last place of float64, relative
# to the largest of them: sums of equal numbers in another order differ by that much. Integers and
# single precision are therefore constant only when they are equal, also once they are float64.
RESOLUTION = 2.0**-47

# Cosines, correlations and differences of products in float64 that should be equal differ by less.
PRODUCT = 1e-12

# Scores that should be equal differ by less: their products may be float32.
SCORE = 1e-6

_HEAD = 64


def is_constant(values: Tensor, dim: int = 0) -> Tensor:
    """Whether values hold nothing but one number along an axis.

    Parameters
    ----------
    values : Tensor
        As given, before anything is subtracted from it.
    dim : int

    Returns
    -------
    Tensor of bool
        The shape without ``dim``.
    """
    return is_constant_range(values.amin(dim=dim), values.amax(dim=dim))


def is_constant_range(low: Tensor, high: Tensor, grain: Tensor | None = None) -> Tensor:
    """`is_constant`, from the smallest and the largest value.

    Parameters
    ----------
    low, high : Tensor
    grain : Tensor, optional
        Of values from which a mean was taken already: what those as given may differ by.
    """
    low, high = low.double(), high.double()
    allowed = RESOLUTION * low.abs().maximum(high.abs())
    return high - low <= (allowed if grain is None else allowed.maximum(grain))


def is_constant_array(
    values: NDArray[Any], axis: int = 0, resolution: float = RESOLUTION
) -> NDArray[np.bool_]:
    """`is_constant` of an array of NumPy.

    Parameters
    ----------
    values : ndarray
        Empty along the axis: constant.
    axis : int
    resolution : float
        What values may differ by, relative to the largest of them: `RESOLUTION` where they are
        data, `PRODUCT` where they were computed.
    """
    low = np.min(values, axis=axis, initial=np.inf).astype(np.float64)
    high = np.max(values, axis=axis, initial=-np.inf).astype(np.float64)
    allowed = resolution * np.maximum(np.abs(low), np.abs(high))
    constant: NDArray[np.bool_] = (low > high) | (high - low <= allowed)
    return constant


def without_rounding(rest: NDArray[np.float64], values: NDArray[Any]) -> NDArray[np.float64]:
    """What is left of values once something was subtracted, exactly 0 where it is but rounding.

    Parameters
    ----------
    rest, values : ndarray, shape (sample,) or (sample, column)
    """
    size = np.abs(values).max(axis=0, initial=0.0)
    return np.where(np.abs(rest) <= PRODUCT * size, 0.0, rest)


def settled(values: Tensor, dim: int = 0) -> Tensor:
    """Values of which those that hold one number along an axis, but for rounding, hold it exactly.

    What is then subtracted from them, such as a mean, cannot make a signal of the rounding.
    """
    flat = is_constant(values, dim).unsqueeze(dim)
    return values.narrow(dim, 0, 1).where(flat, values)


def mean_of(values: Tensor, dim: int = 0) -> Tensor:
    """Mean along an axis in float64, which is kept; exact for equal values.

    The first value is subtracted before the sum, so that a large common offset costs no digits.
    """
    first = values.narrow(dim, 0, 1)
    return first.double() + (values - first).double().mean(dim=dim, keepdim=True)


def same_rows(values: Tensor) -> bool:
    """Whether all rows are the same, as are then all predictions from them."""
    return bool(is_constant(values).all())


def first_copies(values: NDArray[Any]) -> NDArray[np.intp]:
    """Find equal rows.

    Parameters
    ----------
    values : ndarray, shape (row, column)

    Returns
    -------
    ndarray of int, shape (row,)
        The first row that is equal to each row; -0.0 equals 0.0.
    """
    found = _first(_row_bytes(values[:, :_HEAD]))
    crowded = np.flatnonzero(np.bincount(found, minlength=found.size)[found] > 1)
    if values.shape[1] > _HEAD and crowded.size:
        keys: list[Hashable] = list(range(found.size))
        for row in crowded:
            digest = hashlib.blake2b(next(iter(_row_bytes(values[row : row + 1])))).digest()
            keys[row] = digest
        found = _first(keys)
    return found


def _row_bytes(values: NDArray[Any]) -> Iterable[bytes]:
    return (row.tobytes() for row in np.ascontiguousarray(values + 0.0))  # -0.0 + 0.0 is 0.0


def _first(keys: Iterable[Hashable]) -> NDArray[np.intp]:
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(key, row) for row, key in enumerate(keys)], dtype=np.intp)
