"""What an atlas is: labels in spaces, and what is known of each region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

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
