"""Atlases: which region each target lies in, its network, and its place in the hierarchy."""

from convergent.brains.atlas._atlas import ATLASES, SPACES, label_targets, open_atlas, regions_of
from convergent.brains.atlas._fetch import fetch_atlas, fetchable_atlases
from convergent.brains.atlas._mesh import (
    SIDES,
    Mesh,
    Side,
    fs_lr,
    fsaverage5,
    on_vertices,
    parcellation,
    quiet_nibabel,
    sulcal_depth,
)
from convergent.brains.atlas._names import match_region, split_name
from convergent.brains.atlas._sphere import Sphere, find_sphere, sphere_of
from convergent.brains.atlas._types import Atlas, AtlasRegion, Hemispheres

__all__ = [
    "ATLASES",
    "SIDES",
    "SPACES",
    "Atlas",
    "AtlasRegion",
    "Hemispheres",
    "Mesh",
    "Side",
    "Sphere",
    "fetch_atlas",
    "fetchable_atlases",
    "find_sphere",
    "fs_lr",
    "fsaverage5",
    "label_targets",
    "match_region",
    "on_vertices",
    "open_atlas",
    "parcellation",
    "quiet_nibabel",
    "regions_of",
    "sphere_of",
    "split_name",
    "sulcal_depth",
]
