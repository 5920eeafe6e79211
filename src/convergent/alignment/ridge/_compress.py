"""Few functions of an eigenvalue that stand for the filters of all alphas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Error of a filter (root mean square over components) beside its size.
# Alphas are only compared by what is mixed, and held-out predictions are then made exactly. In
# float64 every alpha stands for itself.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 0.0}


class Compressed(NamedTuple):
    """A table of filters as a product.

    Attributes
    ----------
    mix : ndarray of float64, shape (alpha, function)
    functions : ndarray of float64, shape (function, component)
        Orthogonal under the weights: no large numbers cancel in ``mix @ functions``, the table.
    """

    mix: Floats
    functions: Floats


def compress(table: Floats, values: Floats, size: Floats, tolerance: float) -> Compressed:
    """Approximate a table of filters by one of low rank (truncated singular values).

    Shrinkage factors l / (l + alpha) are smooth in log alpha: their numerical rank grows with
    the range of the grid and of the eigenvalues, not with the number of alphas.

    Parameters
    ----------
    table : ndarray, shape (alpha, component)
    values : ndarray, shape (component,)
        Positive eigenvalues. Half of a component's weight is the same for all, half its share of
        the range of log eigenvalues: a few dominant components carry much of the responses.
    size : ndarray, shape (alpha,)
        What errors of a row are measured against.
    tolerance : float
        Of the weighted root mean square error of a row, relative to its size.

    Returns
    -------
    Compressed
        The table itself, and no mixing, if no fewer functions will do.
    """
    alphas = table.shape[0]
    whole = Compressed(np.eye(alphas), table)
    if tolerance == 0.0 or table.shape[1] == 0:
        return whole
    weights = np.sqrt((1.0 / values.size + _spacing(values)) / 2.0)
    u, s, vh = np.linalg.svd(table / size[:, None] * weights, full_matrices=False)
    # squared error of each row, by number of functions left out from the end
    left = np.cumsum(np.square(u * s)[:, ::-1], axis=1)[:, ::-1].max(axis=0)
    count = int(np.searchsorted(-left, -(tolerance**2)))
    if count >= alphas:
        return whole
    return Compressed(u[:, :count] * s[:count] * size[:, None], vh[:count] / weights)


def _spacing(values: Floats) -> Floats:
    """Share of each value in the range of their logarithms."""
    order = np.argsort(values)
    steps = np.diff(np.log(values[order]))
    share = np.empty_like(values)
    share[order] = np.concatenate([steps, [0.0]]) + np.concatenate([[0.0], steps])
    total = share.sum()
    return share / total if total > 0 else np.full_like(values, 1.0 / values.size)


def split_functions(found: Compressed, sizes: Sequence[int]) -> list[Floats]:
    """Cut functions of joined components apart, each of shape (function, component)."""
    return np.split(found.functions, np.cumsum(sizes)[:-1], axis=1)
