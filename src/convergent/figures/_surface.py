"""Cortical surfaces: where the HCP-MMP1 regions lie, and meshes light enough for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, cKDTree

from convergent.brains.atlas import (
    SIDES,
    Side,
    fs_lr,
    match_region,
    on_vertices,
    parcellation,
    sulcal_depth,
)
from convergent.errors import DataError

from ._drawing import FigureError

__all__ = ["Hemisphere", "decimate", "load_hemispheres", "match_region", "on_surface"]


@dataclass(frozen=True)
class Hemisphere:
    """One hemisphere of the fs_LR 32k inflated surface.

    Attributes
    ----------
    side : {"L", "R"}
    vertices : ndarray of float32, shape (vertex, 3)
        Inflated coordinates in mm; x left to right, y back to front, z down to up.
    sphere : ndarray of float32, shape (vertex, 3)
    faces : ndarray of int32, shape (face, 3)
    label : ndarray of int64, shape (vertex,)
        Index into ``names``; 0 is no region (medial wall).
    names : tuple of str
        ``L_V1`` and so on.
    sulcus : ndarray of float64, shape (vertex,)
        Sulcal depth, for shading; 0 on the medial wall.
    """

    side: str
    vertices: NDArray[np.float32]
    sphere: NDArray[np.float32]
    faces: NDArray[np.int32]
    label: NDArray[np.int64]
    names: tuple[str, ...]
    sulcus: NDArray[np.float64]


@cache
def load_hemispheres() -> tuple[Hemisphere, Hemisphere]:
    """Read both hemispheres, left first.

    Raises
    ------
    FigureError
        If the package that carries the surfaces is not installed.
    """
    try:
        keys, labels = parcellation("mmp_1.0.npz")
        left, right = (_hemisphere(side, keys, tuple(labels.values())) for side in SIDES)
    except DataError as error:
        raise FigureError(error.what, where="figure 'cortical-surface'", fix=error.fix) from None
    return left, right


def _hemisphere(side: Side, keys: NDArray[np.int64], names: tuple[str, ...]) -> Hemisphere:
    inflated = fs_lr(side, "inflated")
    return Hemisphere(
        side,
        inflated.vertices,
        fs_lr(side, "sphere").vertices,
        inflated.faces,
        on_vertices(keys, side, 0),
        names,
        sulcal_depth(side),
    )


def on_surface(regions: Sequence[tuple[str, str | None]], names: tuple[str, ...]) -> bool:
    """Tell whether regions are those of HCP-MMP1, so that the surface can show them.

    One region called "V1" or "4" by chance does not make a data set an HCP-MMP1 one: at least two
    must be, and half of them.

    Parameters
    ----------
    regions : sequence of (str, str or None)
        Names and hemispheres.
    names : tuple of str
        Of the atlas.
    """
    found = sum(bool(match_region(region, side or "", names)) for region, side in regions)
    return found >= max(2, len(regions) / 2)


def decimate(hemisphere: Hemisphere, number: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Choose evenly spread vertices and triangulate them anew.

    The vertices nearest to a Fibonacci lattice on the sphere are kept; their convex hull on the
    sphere is their Delaunay triangulation, which the inflated surface inherits.

    Parameters
    ----------
    hemisphere : Hemisphere
    number : int
        Number of lattice points.

    Returns
    -------
    kept : ndarray of int64, shape (vertex',)
        Indices into the full surface.
    faces : ndarray of int32, shape (face', 3)
        Triangles over the kept vertices, wound outwards.
    """
    i = np.arange(number) + 0.5
    polar, turn = np.arccos(1 - 2 * i / number), np.pi * (1 + 5**0.5) * i
    lattice = np.stack(
        [np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1
    )
    sphere = hemisphere.sphere / np.linalg.norm(hemisphere.sphere, axis=1, keepdims=True)
    kept = np.unique(cKDTree(sphere).query(lattice)[1])
    points = sphere[kept]
    faces = ConvexHull(points).simplices
    corner = points[faces]
    outward = np.einsum(
        "fi,fi->f", np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), corner[:, 0]
    )
    faces[outward < 0] = faces[outward < 0][:, ::-1]
    return kept, faces.astype(np.int32)
