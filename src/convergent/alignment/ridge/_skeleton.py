"""Few alphas that stand for all: the others' predictions are combinations of theirs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import qr

Floats = NDArray[np.float64]

# Error of the shrinkage factors (root mean square over components) that an interpolated alpha may
# have. Alphas are only compared by it, and predictions are then made exactly. In float64 every
# alpha stands for itself.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-13}


class Skeleton(NamedTuple):
    """Chosen rows of a table, and what makes the other rows out of them.

    Attributes
    ----------
    rows : ndarray of int, shape (skeleton,)
        Increasing.
    mix : ndarray of float64, shape (alpha, skeleton)
        ``mix @ table[rows]`` is the table.
    """

    rows: NDArray[np.intp]
    mix: Floats

    @property
    def whole(self) -> bool:
        """Whether every row is its own."""
        return bool(self.rows.size == self.mix.shape[0])


def skeleton(table: Floats, tolerance: float) -> Skeleton:
    """Interpolate between the rows of a table (interpolative decomposition).

    Shrinkage factors l / (l + alpha) are smooth in log alpha: their numerical rank grows with
    the range of the grid and of the eigenvalues, not with the number of alphas.

    Parameters
    ----------
    table : ndarray, shape (alpha, component)
    tolerance : float
        Root mean square error of a row.

    Returns
    -------
    Skeleton
        With every row, if no fewer will do.

    References
    ----------
    Cheng, Gimbutas, Martinsson & Rokhlin, SIAM J. Sci. Comput. 26 (2005) 1389-1404.
    """
    alphas = table.shape[0]
    everything = Skeleton(np.arange(alphas), np.eye(alphas))
    if table.shape[1] == 0:
        return everything
    order = qr(table.T, mode="r", pivoting=True)[1]
    for count in range(1, alphas):
        rows = np.sort(order[:count])
        mix = np.linalg.lstsq(table[rows].T, table.T, rcond=None)[0].T
        error = np.square(mix @ table[rows] - table).mean(axis=1).max() ** 0.5
        if error <= tolerance:
            mix[rows] = np.eye(count)
            return Skeleton(rows, mix)
    return everything
