"""Two usual tests of which series comes first, shown as secondary because they mislead.

Both take noise for timing: where performance is noisier than alignment, or a threshold of it, the
quieter or smoother series "predicts" the other without leading it. See docs/decisions.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ._correlation import is_constant

Array = NDArray[np.float64]


def granger(cause: ArrayLike, effect: ArrayLike) -> float:
    """Give the p of lag-1 Granger causality: does the last value of `cause` help predict `effect`?

    Parameters
    ----------
    cause, effect : array_like, shape (checkpoint,)
        At the same checkpoints, in order.

    Returns
    -------
    float
        p of the F test of one coefficient; NaN for fewer than five checkpoints or constants.

    References
    ----------
    Granger, Econometrica 37 (1969) 424-438.
    """
    x, y = np.asarray(cause, dtype=np.float64), np.asarray(effect, dtype=np.float64)
    n = y.size - 1
    if n < 4 or is_constant(x) or is_constant(y):
        return math.nan
    small = np.column_stack([np.ones(n), y[:-1]])
    large = np.column_stack([small, x[:-1]])
    without, whole = _squares(small, y[1:]), _squares(large, y[1:])
    if whole <= 0:
        return math.nan
    return float(stats.f.sf((without - whole) / (whole / (n - 3)), 1, n - 3))


def cross_correlation_lag(alignment: ArrayLike, performance: ArrayLike) -> int:
    """Shift, in checkpoints, at which changes of performance go best with those of alignment.

    Parameters
    ----------
    alignment, performance : array_like, shape (checkpoint,)

    Returns
    -------
    int
        Positive where performance follows.
    """
    a = np.diff(np.asarray(alignment, dtype=np.float64))
    p = np.diff(np.asarray(performance, dtype=np.float64))
    if a.size == 0:
        return 0
    found = np.correlate(p - p.mean(), a - a.mean(), mode="full")
    return int(found.argmax()) - (a.size - 1)


def _squares(design: Array, y: Array) -> float:
    """Sum of squared residuals."""
    solution = np.linalg.lstsq(design, y, rcond=None)[0]
    return float(np.square(y - design @ solution).sum())
