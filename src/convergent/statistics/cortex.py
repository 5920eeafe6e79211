"""Spin test: correlation of two maps of cortex against random rotations of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from convergent.brains.atlas import Sphere, find_sphere, open_atlas, sphere_of
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


ROTATIONS = 2000
_SEED = 2018
# Fewer places than this have no gradient to speak of.
MINIMUM_REGIONS = 10


@dataclass(frozen=True, eq=False)
class Surface:
    """Where regions lie on an atlas's sphere.

    Attributes
    ----------
    sphere : Sphere or None
        None where no atlas with a surface knows the regions.
    places : dict of str to tuple of int
        Positions of each region among the sphere's; a region of both hemispheres has two.
    reason : str
        Why there is no sphere; empty where there is one.
    """

    sphere: Sphere | None
    places: Mapping[str, tuple[int, ...]]
    reason: str

    def spun(self, whole: Floats, regions: Sequence[str]) -> Floats:
        """Rotate a map of the whole atlas and read it at regions.

        Parameters
        ----------
        whole : ndarray, shape (atlas region,)
        regions : sequence of str

        Returns
        -------
        ndarray, shape (rotation, region)

        Raises
        ------
        DataError
            There is no sphere.
        """
        if self.sphere is None:
            raise DataError(self.reason, where="spin test", fix="ask for no spatial null")
        rotated = whole[_spins(self.sphere.atlas)]
        return np.stack([rotated[:, list(self.places[name])].mean(axis=1) for name in regions], 1)

    def on(self, whole: Floats, regions: Sequence[str]) -> Floats:
        """Read a map of the whole atlas at regions, (region,)."""
        return np.array([whole[list(self.places[name])].mean() for name in regions])


@dataclass(frozen=True, eq=False)
class Axis:
    """Positions of regions between the senses and association.

    Attributes
    ----------
    regions : tuple of str
        Those with a position.
    position : ndarray of float64, shape (region,)
    spun : ndarray of float64, shape (rotation, region)
        The axis of the whole atlas, rotated, at these regions; no rows where there is no null.
    reason : str
        Why there is no null, or empty.
    """

    regions: tuple[str, ...]
    position: Floats
    spun: Floats
    reason: str


def surface_of(regions: Sequence[tuple[str, str]]) -> Surface:
    """Find the sphere of regions.

    Parameters
    ----------
    regions : sequence of (str, str)
        Names and hemispheres.

    Returns
    -------
    Surface
    """
    try:
        sphere, places = find_sphere(regions)
    except DataError as error:
        return Surface(None, {}, error.what)
    return Surface(sphere, places, "")


def axis_of(regions: Sequence[tuple[str, str, float | None]]) -> Axis:
    """Place regions on the axis, with rotations of the axis for a spatial null.

    The axis is known on the whole cortex, also where nothing was measured: it is what is rotated,
    and not the scores. Positions are the data's own where these cover the atlas, and else the
    atlas's.

    Parameters
    ----------
    regions : sequence of (str, str, float or None)
        Name, hemisphere and position as the data have them.

    Returns
    -------
    Axis
    """
    own = {name: float(at) for name, _, at in regions if at is not None and np.isfinite(at)}
    surface = surface_of([(name, side) for name, side, _ in regions])
    if surface.sphere is None:
        names = tuple(own)
        return Axis(
            names,
            np.array([own[name] for name in names]),
            np.empty((0, len(names))),
            surface.reason,
        )
    whole = np.full(len(surface.sphere.names), np.nan)
    for name, places in surface.places.items():
        if name in own:
            whole[list(places)] = own[name]
    if np.isnan(whole).any():
        whole = _atlas_positions(surface.sphere.atlas)
    names = tuple(surface.places)
    if np.isnan(whole).any():
        reason = f"positions in '{surface.sphere.atlas}' are not all known"
        return Axis((), np.empty(0), np.empty((0, 0)), reason)
    return Axis(names, surface.on(whole, names), surface.spun(whole, names), "")


@lru_cache(maxsize=4)
def _spins(atlas: str) -> NDArray[np.intp]:
    sphere = sphere_of(atlas)
    return spins(sphere.centre, sphere.side, rotations=ROTATIONS, seed=_SEED)


def _atlas_positions(atlas: str) -> Floats:
    order = {region.name: region.order for region in open_atlas(atlas).regions}
    return np.array([order[name] for name in sphere_of(atlas).names])
