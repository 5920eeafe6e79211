"""Arrays of single targets in no more bytes than they have digits: half of a store is theirs."""

from __future__ import annotations

from typing import Literal

import numpy as np

from convergent.zarr_format import Arrays


def per_target(
    dims: tuple[str, ...], dtype: Literal["float64", "float32"], **values: np.ndarray
) -> Arrays:
    """Keep scores with the digits that they were computed with.

    Parameters
    ----------
    dims : tuple of str
        Axis names; the last is ``target``.
    dtype : {"float64", "float32"}
        Precision of the fit.
    **values : ndarray of float64
        Scores, by the name that they get in the store.

    Returns
    -------
    dict of str to (dims, ndarray of ``dtype``)
    """
    return {name: (dims, array.astype(dtype)) for name, array in values.items()}


def penalties(name: str, chosen: np.ndarray, grid: np.ndarray) -> Arrays:
    """Keep chosen penalties as places in their grid.

    Parameters
    ----------
    name : str
        Such as ``alpha``.
    chosen : ndarray of float64, shape (fold, target)
        Members of the grid; NaN for a target whose responses do not vary.
    grid : ndarray of float64, shape (alpha,)
        Ascending.

    Returns
    -------
    dict of str to (dims, ndarray)
        ``<name>_grid``, the grid itself, and ``<name>_index``, integers; -1 is a target without a
        penalty. ``grid[index]`` are the penalties of the others, to the last digit.
    """
    known = ~np.isnan(chosen)
    index = np.searchsorted(grid, np.where(known, chosen, grid[0]))
    assert (grid[index[known]] == chosen[known]).all(), f"{name} is not of its grid"
    narrow = np.where(known, index, -1).astype(np.min_scalar_type(-len(grid)))
    return {
        f"{name}_grid": ((f"{name}_grid",), grid),
        f"{name}_index": (("fold", "target"), narrow),
    }
