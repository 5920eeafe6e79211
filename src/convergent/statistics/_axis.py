"""Places of a data set's regions on the axis from senses to association, and their null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas import Sphere, find_sphere, open_atlas, sphere_of
from convergent.errors import DataError

from ._spin import spins

Floats = NDArray[np.float64]

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
