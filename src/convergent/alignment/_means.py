"""Means of scores over folds and regions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from convergent.errors import DataError

Floats = NDArray[np.float64]


def mean_defined(values: ArrayLike, axis: int | tuple[int, ...] = 0) -> Floats:
    """Mean over the values that are not NaN; NaN where there is none."""
    array = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(array)
    total = np.where(known, array, 0.0).sum(axis=axis)
    count = known.sum(axis=axis)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def region_means(values: ArrayLike, region_index: ArrayLike, n_regions: int) -> Floats:
    """Mean over the targets of each region.

    Parameters
    ----------
    values : array_like, shape (..., target)
    region_index : array_like of int, shape (target,)
        Region of each target, 0 to n_regions - 1; -1 for targets outside all regions.
    n_regions : int

    Returns
    -------
    ndarray of float64, shape (..., region)
        NaN targets are left out; NaN where a region has no other target.

    Raises
    ------
    DataError
        Lengths differ or an index is out of range.
    """
    array = np.asarray(values, dtype=np.float64)
    index = np.asarray(region_index)
    if index.shape != array.shape[-1:] or (
        index.size and (index.min() < -1 or index.max() >= n_regions)
    ):
        raise DataError(
            f"region index of shape {index.shape} for values {array.shape} and {n_regions} regions",
            where="region means",
            fix="give one index from -1 to n_regions - 1 a target",
        )
    inside = np.flatnonzero(index >= 0)
    members = sparse.csr_array(
        (np.ones(inside.size), (inside, index[inside])), shape=(index.size, n_regions)
    )
    flat = array.reshape(-1, index.size)
    known = ~np.isnan(flat)
    total = np.where(known, flat, 0.0) @ members
    count = known.astype(np.float64) @ members
    means = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
    shaped: Floats = means.reshape(*array.shape[:-1], n_regions)
    return shaped
