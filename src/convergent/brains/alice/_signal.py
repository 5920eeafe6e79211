"""Filtering of region time courses, and how much of them is shared between people."""

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


def correlate(first: Array, second: Array) -> Array:
    """Pearson correlation of matching columns, shape (target,); NaN for constant columns."""
    first, second = standardise(first), standardise(second)
    r: Array = np.mean(first * second, axis=0)
    return np.where(first.any(axis=0) & second.any(axis=0), r, np.nan)


def leave_one_out(data: Array) -> Array:
    """Correlate each subject with the mean of all others.

    Parameters
    ----------
    data : ndarray, shape (subject, sample, target)
        Standardised time courses.

    Returns
    -------
    ndarray, shape (subject, target)

    References
    ----------
    Nili et al. (2014), PLoS Comput Biol 10, e1003553 (lower bound of the noise ceiling).
    """
    if len(data) < 2:
        return np.full((len(data), data.shape[2]), np.nan)
    total = data.sum(axis=0)
    return np.stack([correlate(own, total - own) for own in data])


def split_half_reliability(data: Array, *, splits: int = 200, seed: int = 0) -> Array:
    """Reliability of the average over all subjects.

    Parameters
    ----------
    data : ndarray, shape (subject, sample, target)
        Standardised time courses.
    splits : int
        Random halvings of the subjects, averaged.
    seed : int
        Of the halvings.

    Returns
    -------
    ndarray, shape (target,)
        Mean correlation r of the two halves' averages, stepped up to all subjects by Spearman and
        Brown: 2 r / (1 + r). It is the share of the average's variance that subjects have in
        common, so it is in r^2 units; negative estimates are 0. NaN with fewer than 2 subjects.

    References
    ----------
    Spearman (1910), Brown (1910), British Journal of Psychology 3.
    """
    subjects = len(data)
    if subjects < 2:
        return np.full(data.shape[2], np.nan)
    rng = np.random.default_rng(seed)
    total, half = data.sum(axis=0), subjects // 2
    r = np.zeros(data.shape[2])
    for _ in range(splits):
        chosen = data[rng.permutation(subjects)[:half]].sum(axis=0)
        r += correlate(chosen, total - chosen) / splits
    reliability: Array = 2 * np.maximum(r, 0.0) / (1 + np.maximum(r, 0.0))
    return np.where(np.isnan(r), np.nan, reliability)
