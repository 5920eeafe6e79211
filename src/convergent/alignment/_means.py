"""Means of scores over folds and regions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    index = _checked(region_index, array.shape, n_regions)
    inside = np.flatnonzero(index >= 0)
    flat, region = array.reshape(-1, index.size)[:, inside], index[inside]
    total, count = np.empty((len(flat), n_regions)), np.empty((len(flat), n_regions))
    for row, scores in enumerate(flat):
        known = ~np.isnan(scores)
        total[row] = np.bincount(region, np.where(known, scores, 0.0), minlength=n_regions)
        count[row] = np.bincount(region[known], minlength=n_regions)
    means = np.where(count > 0, total / np.maximum(count, 1.0), np.nan)
    shaped: Floats = means.reshape(*array.shape[:-1], n_regions)
    return shaped


def region_medians(values: ArrayLike, region_index: ArrayLike, n_regions: int) -> Floats:
    """Median over the targets of each region; see `region_means`."""
    array = np.asarray(values, dtype=np.float64)
    index = _checked(region_index, array.shape, n_regions)
    inside = np.flatnonzero(index >= 0)
    first = np.searchsorted(np.sort(index[inside]), np.arange(n_regions))
    flat = array.reshape(-1, index.size)[:, inside]
    medians = np.full((len(flat), n_regions), np.nan)
    for row, scores in zip(medians, flat, strict=True):
        # by region, then by value, NaN last: the defined ones of a region lie next to each other
        ordered = scores[np.lexsort((scores, index[inside]))]
        count = np.bincount(index[inside][~np.isnan(scores)], minlength=n_regions)
        some = np.flatnonzero(count)
        low, high = first[some] + (count[some] - 1) // 2, first[some] + count[some] // 2
        row[some] = (ordered[low] + ordered[high]) / 2
    return medians.reshape(*array.shape[:-1], n_regions)


def _checked(
    region_index: ArrayLike, shape: tuple[int, ...], n_regions: int
) -> NDArray[np.integer]:
    index = np.asarray(region_index)
    if index.shape != shape[-1:] or (index.size and (index.min() < -1 or index.max() >= n_regions)):
        raise DataError(
            f"region index of shape {index.shape} for values {shape} and {n_regions} regions",
            where="regions",
            fix="give one index from -1 to n_regions - 1 a target",
        )
    return index
