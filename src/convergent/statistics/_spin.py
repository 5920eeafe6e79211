"""Spin test: correlation of two maps of cortex against random rotations of one of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from convergent.errors import DataError

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

_MIRROR = np.diag([-1.0, 1.0, 1.0])


def spins(centre: ArrayLike, side: ArrayLike, *, rotations: int = 1000, seed: int = 0) -> Indices:
    """Reassign regions by random rotations of the sphere.

    A rotation of the left hemisphere is mirrored for the right one, so that what both share stays
    shared. Each place takes the value of the rotated region that comes to lie nearest. (Values may
    then occur twice and others not at all; assigning them one to one, as is also done, tears
    neighbours apart at the medial wall and finds too much: `docs/decisions/regions.md`.)

    Parameters
    ----------
    centre : array_like, shape (region, 3)
        Centres of all regions of an atlas on their hemisphere's sphere.
    side : array_like of str, shape (region,)
        ``L`` or ``R``.
    rotations : int
    seed : int

    Returns
    -------
    ndarray of int, shape (rotation, region)
        ``values[spins[i]]`` is the map ``values`` after rotation i.

    Raises
    ------
    DataError
        The shapes do not match, or a side is neither.

    References
    ----------
    Alexander-Bloch et al., NeuroImage 178 (2018) 540-551. Markello & Misic, NeuroImage 236 (2021)
    118052 (ways to assign regions, compared).
    """
    points, sides = np.asarray(centre, dtype=np.float64), np.asarray(side)
    if points.ndim != 2 or points.shape[1] != 3 or sides.shape != points.shape[:1]:
        raise DataError(
            f"centres of shape {points.shape} and sides of shape {sides.shape}",
            where="spin test",
            fix="give (region, 3) and one side a region",
        )
    if not set(sides.tolist()) <= {"L", "R"}:
        raise DataError("a side that is neither L nor R", where="spin test", fix="name it")
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    turns = Rotation.random(rotations, rng=np.random.default_rng(seed)).as_matrix()
    found = np.empty((rotations, len(points)), dtype=np.intp)
    for name in np.unique(sides).tolist():
        mine = np.flatnonzero(sides == name)
        own = points[mine]
        for i, turn in enumerate(turns):
            about = turn if name == "L" else _MIRROR @ turn @ _MIRROR
            # of vectors of length 1, the nearest has the largest inner product
            found[i, mine] = mine[(own @ (own @ about.T).T).argmax(axis=1)]
    return found
