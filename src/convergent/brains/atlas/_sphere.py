"""Where regions lie on the sphere that cortex is unfolded to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas._labels import labels_of
from convergent.brains.atlas._mesh import SIDES, fs_lr
from convergent.brains.atlas._names import match_region
from convergent.errors import DataError

_TRIED = ("hcp-mmp1", *(f"schaefer-{n}" for n in range(100, 1001, 100)))
# Of a data set's regions, the share that an atlas must know to be theirs.
_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Sphere:
    """Centres of all regions of an atlas on the fs_LR sphere.

    Attributes
    ----------
    atlas : str
    names : tuple of str
        Atlas names, ``L_V1`` and so on.
    side : ndarray of str, shape (region,)
        ``L`` or ``R``.
    centre : ndarray of float64, shape (region, 3)
        Of length 1; x left to right, y back to front, z down to up, of each hemisphere's own
        sphere.
    """

    atlas: str
    names: tuple[str, ...]
    side: NDArray[np.str_]
    centre: NDArray[np.float64]


@lru_cache(maxsize=4)
def sphere_of(atlas: str) -> Sphere:
    """Centres of an atlas's regions on the fs_LR 32k sphere.

    Parameters
    ----------
    atlas : str
        One that has labels on fs_LR 32k.

    Returns
    -------
    Sphere

    Raises
    ------
    DataError
        The labels or the sphere are not installed.
    """
    labels = labels_of(atlas, "fsLR32k", None)
    names: list[str] = []
    sides: list[str] = []
    centres: list[NDArray[np.float64]] = []
    for side in SIDES:
        points = fs_lr(side, "sphere").vertices.astype(np.float64)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        found, member = np.unique(labels[side], return_inverse=True)
        sums = np.zeros((found.size, 3))
        np.add.at(sums, member, points)
        for name, total in zip(found.tolist(), sums, strict=True):
            if name:
                names.append(name)
                sides.append(side)
                centres.append(total / np.linalg.norm(total))
    return Sphere(atlas, tuple(names), np.array(sides), np.array(centres))


def find_sphere(
    regions: Sequence[tuple[str, str]],
) -> tuple[Sphere, dict[str, tuple[int, ...]]]:
    """Find the atlas that regions belong to, and their places on its sphere.

    Parameters
    ----------
    regions : sequence of (str, str)
        Names and hemispheres (``L``, ``R`` or empty), as data have them.

    Returns
    -------
    sphere : Sphere
    places : dict of str to tuple of int
        Positions of each region in ``sphere.names``: two where both hemispheres are one region.

    Raises
    ------
    DataError
        No atlas with a sphere knows the regions.
    """
    for atlas in _TRIED:
        try:
            sphere = sphere_of(atlas)
        except DataError:
            continue
        position = {name: index for index, name in enumerate(sphere.names)}
        places = {
            name: tuple(position[found] for found in match_region(name, side, position))
            for name, side in regions
        }
        known = {name: place for name, place in places.items() if place}
        # one region called "4" by chance does not make an atlas
        if len(known) >= max(2, _SHARE * len(regions)):
            return sphere, known
    raise DataError(
        "no atlas with a surface knows these regions",
        where="spatial null",
        fix="use HCP-MMP1 areas or Schaefer parcels",
    )
