"""Many regions, many tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import NumericalError


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p values that control the false discovery rate.

    Parameters
    ----------
    p : array_like, shape (test,)
        p values; NaN marks a test that was not made and does not count.

    Returns
    -------
    ndarray of float64, shape (test,)
        q values, NaN where p is NaN.

    Raises
    ------
    NumericalError
        If a p value lies outside [0, 1].

    References
    ----------
    Benjamini & Hochberg (1995), Controlling the false discovery rate, JRSS-B 57.
    """
    values = np.asarray(p, dtype=np.float64)
    made = np.isfinite(values)
    tests = values[made]
    if np.any((tests < 0) | (tests > 1)):
        raise NumericalError(
            "p values lie outside [0, 1]", where="benjamini_hochberg", fix="pass p, not a statistic"
        )
    q = np.full(values.shape, np.nan)
    if tests.size == 0:
        return q
    order = np.argsort(tests)
    ranked = tests[order] * tests.size / np.arange(1, tests.size + 1)
    adjusted = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    back = np.empty_like(adjusted)
    back[order] = adjusted
    q[made] = back
    return q
