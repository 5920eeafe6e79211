"""Position of cortex between the senses and association, as distance along the surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas._mesh import Mesh
from convergent.errors import DataError

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
