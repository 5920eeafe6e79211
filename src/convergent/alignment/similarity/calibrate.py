"""Scores against their permutation null."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.alignment.constant import SCORE
from convergent.errors import DataError

Floats = NDArray[np.float64]


class Calibrated(NamedTuple):
    """Scores less what chance gives; NaN where the score or its null is.

    Attributes
    ----------
    score : ndarray of float64, shape (...)
        ``(score - mean of null) / (1 - mean of null)``: 0 by chance, 1 for equal representations.
    p : ndarray of float64, shape (...)
        One-sided, ``(1 + number of null >= score) / (1 + number of null)``.
    null_mean, null_sd : ndarray of float64, shape (...)
        Sample standard deviation; NaN of one permutation.
    """

    score: Floats
    p: Floats
    null_mean: Floats
    null_sd: Floats


def calibrate(score: ArrayLike, null: ArrayLike) -> Calibrated:
    """Put scores of any metric on one scale, with p values.

    Parameters
    ----------
    score : array_like, shape (...)
    null : array_like, shape (permutation, ...)
        Undefined (NaN) permutations are left out.

    Returns
    -------
    Calibrated

    Raises
    ------
    DataError
        The shapes do not match, or there is no permutation.

    References
    ----------
    Phipson & Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39 (the p value of a permutation
    test is never 0).
    """
    real, chance = np.asarray(score, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if chance.ndim < 1 or chance.shape[1:] != real.shape or len(chance) == 0:
        raise DataError(
            f"a null of shape {chance.shape} for scores of shape {real.shape}",
            where="calibration",
            fix="give one or more permutations on the first axis of the null",
        )
    known = ~np.isnan(chance)
    count = known.sum(axis=0)
    defined = (count > 0) & ~np.isnan(real)
    mean = np.where(known, chance, 0.0).sum(axis=0) / np.maximum(count, 1)
    square = (np.where(known, chance - mean, 0.0) ** 2).sum(axis=0)
    sd = np.sqrt(square / np.maximum(count - 1, 1))
    reached = (known & (chance >= real - SCORE)).sum(axis=0)
    room = 1.0 - mean
    return Calibrated(
        _where(defined & (room != 0), (real - mean) / np.where(room == 0, 1.0, room)),
        _where(defined, (1.0 + reached) / (1.0 + count)),
        _where(defined, mean),
        _where(defined & (count > 1), sd),
    )


def calibrate_maximum(scores: ArrayLike, null: ArrayLike) -> Calibrated:
    """Calibrate the best of several layers by the same maximum inside each permutation.

    The maximum of many layers is high by chance; so is that of their null.

    Parameters
    ----------
    scores : array_like, shape (layer, ...)
    null : array_like, shape (permutation, layer, ...)
        The same permutations for all layers. Layers that are NaN are left out.

    Returns
    -------
    Calibrated
        Of shape (...).

    Raises
    ------
    DataError
        See `calibrate`.
    """
    real, chance = np.asarray(scores, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if real.ndim < 1 or len(real) == 0 or chance.shape[1:] != real.shape:
        raise DataError(
            f"a null of shape {chance.shape} for scores of shape {real.shape}",
            where="calibration of a maximum",
            fix="give scores (layer, ...) and their null (permutation, layer, ...)",
        )
    # A layer counts in the null if and only if it counts in the score.
    chance = np.where(np.isnan(real), np.nan, chance)
    return calibrate(_maximum(real, 0), _maximum(chance, 1))


def largest_p(score: ArrayLike, null: ArrayLike) -> Floats:
    """Test many regions at once, corrected by the largest region of each permutation.

    Regions differ in how far chance scatters them. Each is therefore standardised by the mean and
    deviation of all its values, the real one among them as one of the permutations, which leaves
    the test exact.

    Parameters
    ----------
    score : array_like, shape (region,)
    null : array_like, shape (permutation, region)
        The same permutations for all regions.

    Returns
    -------
    ndarray of float64, shape (region,)
        Chance, at most, that any region would reach this by permutation: one-sided. NaN where the
        score or one of its null is undefined, or all are equal.

    Raises
    ------
    DataError
        See `calibrate`.

    References
    ----------
    Westfall & Young, Resampling-based Multiple Testing (1993), sec. 2.6. Nichols & Holmes,
    Human Brain Mapping 15 (2002) 1-25.
    """
    real, chance = np.asarray(score, dtype=np.float64), np.asarray(null, dtype=np.float64)
    if real.ndim != 1 or chance.ndim != 2 or chance.shape[1:] != real.shape or len(chance) == 0:
        raise DataError(
            f"a null of shape {chance.shape} for scores of shape {real.shape}",
            where="largest region",
            fix="give scores (region,) and one or more permutations (permutation, region)",
        )
    every = np.vstack([real, chance])
    spread = every.std(axis=0)
    known = np.isfinite(every).all(axis=0)
    defined = known & (np.ptp(np.where(known, every, 0.0), axis=0) > SCORE)
    p = np.full(real.shape, np.nan)
    if defined.any():
        kept = every[:, defined]
        z = (kept - kept.mean(axis=0)) / spread[defined]
        reached = (z[1:].max(axis=1)[:, None] >= z[0] - SCORE).sum(axis=0)
        p[defined] = (1.0 + reached) / (1.0 + len(chance))
    return p


def _maximum(values: Floats, axis: int) -> Floats:
    best: Floats = np.where(np.isnan(values), -np.inf, values).max(axis=axis)
    return _where(best > -np.inf, best)


def _where(defined: NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(defined, values, np.nan)
