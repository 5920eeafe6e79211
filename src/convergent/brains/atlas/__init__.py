"""Atlases: which region each target lies in, its network, and its place in the hierarchy."""

from convergent.brains.atlas.atlas import (
    ATLASES,
    SPACES,
    fetch_atlas,
    fetchable_atlases,
    label_targets,
    open_atlas,
    regions_of,
)
from convergent.brains.atlas.describe import (
    Atlas,
    AtlasRegion,
    Hemispheres,
    is_region,
    match_region,
    split_name,
)
from convergent.brains.atlas.files import Sphere, find_sphere, sphere_of
from convergent.brains.atlas.mesh import (
    SIDES,
    Mesh,
    Side,
    fs_lr,
    fsaverage5,
    on_vertices,
    parcellation,
    quiet_nibabel,
    space_vertices,
    sulcal_depth,
)

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
    "is_region",
    "label_targets",
    "match_region",
    "on_vertices",
    "open_atlas",
    "parcellation",
    "quiet_nibabel",
    "regions_of",
    "space_vertices",
    "sphere_of",
    "split_name",
    "sulcal_depth",
]
