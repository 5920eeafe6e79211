"""Filtering of region time courses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def cosine_drifts(samples: int, tr: float, cutoff: float | None) -> Array:
    """Slow cosines whose removal is a high-pass filter.

    Parameters
    ----------
    samples : int
        Volumes.
    tr : float
        Seconds between volumes.
    cutoff : float or None
        Period in seconds of the fastest cosine removed; None for the mean alone.

    Returns
    -------
    ndarray, shape (sample, drift)
        Discrete cosines of order 0 (the mean) to ``floor(2 * samples * tr / cutoff)``, as SPM uses.
    """
    highest = 0 if cutoff is None else int(2 * samples * tr / cutoff)
    phase = np.pi * (np.arange(samples) + 0.5) / samples
    return np.cos(phase[:, None] * np.arange(highest + 1))


def remove(nuisance: Array, data: Array) -> Array:
    """Residuals of the data given all nuisance columns at once.

    Parameters
    ----------
    nuisance : ndarray, shape (sample, column)
        Columns may be collinear; each is scaled to unit length before the fit.
    data : ndarray, shape (sample, target)

    Returns
    -------
    ndarray, shape (sample, target)
    """
    length = np.linalg.norm(nuisance, axis=0)
    basis = nuisance / np.where(length > 0, length, 1.0)
    residuals: Array = data - basis @ np.linalg.lstsq(basis, data, rcond=None)[0]
    return residuals


def standardise(data: Array) -> Array:
    """Zero mean and unit variance over the samples; constant targets become zero."""
    centred = data - data.mean(axis=0)
    deviation = data.std(axis=0)
    # Rounding leaves residuals of a constant target that are not exactly zero.
    negligible = deviation <= 1e-10 * np.abs(data).max(axis=0, initial=0.0)
    scaled: Array = np.where(negligible, 0.0, centred / np.where(negligible, 1.0, deviation))
    return scaled
