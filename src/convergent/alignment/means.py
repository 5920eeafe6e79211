"""Means of scores over folds and regions."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True)
class Partition:
    """Explained variance, divided by who can explain it.

    Attributes
    ----------
    total : ndarray of float64, shape (target,)
        R2 of all spaces together.
    unique : ndarray of float64, shape (space, target)
        What the model loses without a space.
    shared : ndarray of float64, shape (target,)
        The rest, which two or more spaces can explain.

    The parts sum to the total. Held-out R2 estimates are noisy: a part of nothing scatters
    around 0 and so is negative about as often as positive.
    """

    total: Floats
    unique: Floats
    shared: Floats


def partition(total: ArrayLike, without: ArrayLike) -> Partition:
    """Divide R2 into unique and shared parts.

    unique(A) = R2(all) - R2(all but A); shared = R2(all) - sum of the unique parts, which for two
    spaces is R2(A) + R2(B) - R2(A + B).

    Parameters
    ----------
    total : array_like, shape (target,)
        Held-out R2 of all spaces together.
    without : array_like, shape (space, target)
        Held-out R2 of all spaces but one. For two spaces, A and B: that of B alone, then that of
        A alone.

    Returns
    -------
    Partition
        NaN where a target's R2 is.

    Raises
    ------
    DataError
        The shapes do not belong together.

    References
    ----------
    de Heer et al., J. Neurosci. 37 (2017) 6539-6557 (variance partitioning); Lescroart et al.,
    Front. Comput. Neurosci. 9 (2015) 135.
    """
    joint, rest = (np.asarray(values, dtype=np.float64) for values in (total, without))
    if joint.ndim != 1 or rest.ndim != 2 or rest.shape[0] < 2 or rest.shape[1:] != joint.shape:
        raise DataError(
            f"R2 of shape {joint.shape}, and {rest.shape} without each space",
            where="variance partitioning",
            fix="give (target,) and (space, target), of two or more spaces",
        )
    unique = joint - rest
    return Partition(joint, unique, joint - unique.sum(axis=0))
