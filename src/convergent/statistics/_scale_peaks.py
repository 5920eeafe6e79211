"""At which scale does alignment peak, if it peaks at all?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ._profiles import MINIMUM_FAMILIES, percentile_interval, resampled_means

Floats = NDArray[np.float64]

# A peak needs two shoulders.
MINIMUM_SCALES = 3


class Peak(NamedTuple):
    """Where a curve over scales is highest.

    Attributes
    ----------
    peak : float
        Scale, between the measured ones by a parabola; at an edge of the sweep, that edge.
    low, high : float or None
        95 % interval over families; None with fewer than 3.
    score : float
        Highest measured mean.
    edge : {"", "low", "high"}
        Which end of the sweep the highest score lies at: the true peak may lie beyond.
    edge_share : float
        Share of draws of families whose highest score lies at an end.
    p_flat : float
        That families' curves have neither slope nor bend (Hotelling's T2); NaN if untested.
    """

    peak: float
    low: float | None
    high: float | None
    score: float
    edge: str
    edge_share: float
    p_flat: float


def scale_peak(
    curves: ArrayLike, scales: ArrayLike, *, bootstraps: int, seed: Sequence[int]
) -> Peak:
    """Find the peak of the mean over families, and how far families agree on it.

    Parameters
    ----------
    curves : array_like, shape (family, scale)
        Means of the models of each family.
    scales : array_like, shape (scale,)
        Ascending.
    bootstraps : int
        Draws of families.
    seed : sequence of int

    Returns
    -------
    Peak
    """
    values = np.asarray(curves, dtype=np.float64)
    steps = np.log2(np.asarray(scales, dtype=np.float64))
    mean = values.mean(axis=0)
    at, edge = _highest(mean[None], steps)
    drawn = resampled_means(values, bootstraps=bootstraps, seed=seed)
    low, high, share = None, None, math.nan
    if len(drawn):
        places, ends = _highest(drawn, steps)
        low, high = (None if end is None else 2.0**end for end in percentile_interval(places))
        share = float((ends != 0).mean())
    return Peak(
        2.0 ** float(at[0]),
        low,
        high,
        float(mean.max()),
        {-1: "low", 0: "", 1: "high"}[int(edge[0])],
        share,
        flatness(values, steps),
    )


def flatness(curves: Floats, steps: Floats) -> float:
    """P value that curves over scales are flat: no slope and no bend in the mean over families.

    Parameters
    ----------
    curves : ndarray, shape (family, scale)
    steps : ndarray, shape (scale,)
        Logarithms of the scales.

    Returns
    -------
    float
        Hotelling's T2 test of the linear and quadratic trends; NaN with fewer than 4 families or 3
        scales.

    References
    ----------
    Hotelling, Ann. Math. Stat. 2 (1931) 360-378.
    """
    families = len(curves)
    if families < MINIMUM_FAMILIES + 1 or steps.size < MINIMUM_SCALES:
        return math.nan
    basis = np.linalg.qr(np.vander(steps, 3, increasing=True))[0][:, 1:]
    trends = curves @ basis
    mean = trends.mean(axis=0)
    covariance = np.cov(trends.T) / families
    if np.linalg.matrix_rank(covariance) < 2:
        return math.nan
    t2 = float(mean @ np.linalg.solve(covariance, mean))
    f = t2 * (families - 2) / (2 * (families - 1))
    return float(stats.f.sf(f, 2, families - 2))


def _highest(curves: Floats, steps: Floats) -> tuple[Floats, NDArray[np.intp]]:
    """Place of the highest point of each curve, and whether it is the first or last (-1, 0, 1)."""
    top = curves.argmax(axis=1)
    edge = np.where(top == 0, -1, np.where(top == steps.size - 1, 1, 0))
    rows = np.arange(len(curves))
    inner = np.clip(top, 1, steps.size - 2)
    y = np.stack([curves[rows, inner + shift] for shift in (-1, 0, 1)], axis=1)
    x = np.stack([steps[inner + shift] for shift in (-1, 0, 1)], axis=1)
    # the parabola through the highest point and its neighbours
    left = (x[:, 1] - x[:, 0]) * (y[:, 1] - y[:, 2])
    right = (x[:, 1] - x[:, 2]) * (y[:, 1] - y[:, 0])
    below = left - right
    above = (x[:, 1] - x[:, 0]) * left - (x[:, 1] - x[:, 2]) * right
    moved = np.divide(above, 2 * below, out=np.zeros_like(above), where=np.abs(below) > 1e-300)
    place = np.where(edge == 0, x[:, 1] - moved, steps[top])
    return place, edge
