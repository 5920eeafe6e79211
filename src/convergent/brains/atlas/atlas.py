"""Open an atlas: its regions, and the names of targets in a space."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from convergent.brains.atlas.describe import (
    Atlas,
    AtlasRegion,
    Hemispheres,
    Labels,
    describe,
    fs_lr_maps,
    fsaverage5_maps,
    match_region,
    merge,
    split_name,
)
from convergent.brains.atlas.files import SOURCE, catalogue, check_content, labels_of
from convergent.brains.atlas.mesh import (
    SIDES,
    gray_vertices,
    parcellation,
)
from convergent.brains.open import fetch_file
from convergent.brains.types import Region
from convergent.errors import ConfigError, DataError, UnknownKeyError, did_you_mean

log = logging.getLogger(__name__)


ATLASES = ("hcp-mmp1", "yeo-7", "yeo-17", *(f"schaefer-{n}" for n in range(100, 1001, 100)))
# Number of targets of each space: left hemisphere, then right (then subcortical voxels).
SPACES = {
    "fsLR32k": 64984,
    "cifti59k": 59412,
    "cifti91k": 91282,
    "fsaverage5": 20484,
    "fsaverage6": 81924,
    "fsaverage": 327684,
}


def label_targets(
    atlas: str, space: str, *, directory: str | None = None, hemispheres: Hemispheres = "apart"
) -> Labels:
    """Name the region of every target of a space.

    Parameters
    ----------
    atlas : str
        One of `ATLASES`.
    space : {"fsLR32k", "cifti59k", "cifti91k", "fsaverage5", "fsaverage6", "fsaverage"}
        Vertices of both hemispheres, left first. ``cifti59k`` are the 59,412 cortical ones of the
        91,282 grayordinates, of which the subcortical ones are in no region.
    directory : str, optional
        Where label files that no package ships lie; ``~`` and environment variables are expanded.
    hemispheres : {"apart", "merged"}
        ``L_V1`` and ``R_V1``, or ``V1`` for both.

    Returns
    -------
    ndarray of str, shape (target,)
        Empty outside all regions.

    Raises
    ------
    UnknownKeyError
        No such atlas or space.
    ConfigError
        The atlas has no areas that both hemispheres share, and they are to be merged.
    DataError
        The labels are not installed and not in the directory, or not what they should be.
    """
    _check(atlas, space, hemispheres)
    if space in ("cifti59k", "cifti91k"):
        labels = {
            side: named[gray_vertices(side)]
            for side, named in labels_of(atlas, "fsLR32k", directory).items()
        }
    else:
        labels = labels_of(atlas, space, directory)
    cortex = np.concatenate([labels[side] for side in SIDES])
    if hemispheres == "merged":
        cortex = np.array([split_name(name)[1] for name in cortex.tolist()], dtype=np.str_)
    rest = np.full(SPACES[space] - cortex.size, "", dtype=np.str_)
    return np.concatenate([cortex, rest]) if rest.size else cortex


@lru_cache(maxsize=8)
def open_atlas(
    atlas: str, *, directory: str | None = None, hemispheres: Hemispheres = "apart"
) -> Atlas:
    """Describe the regions of an atlas.

    Networks are the Yeo network (of 7) of most vertices, and positions the mean distance along
    the cortex from the primary areas V1, A1, 3b and 4, as a share of the most distant region's:
    on the fs_LR 32k surface where the atlas is known there; else on fsaverage5, with the network
    of a vertex taken from its HCP-MMP1 area.

    Parameters
    ----------
    atlas, directory, hemispheres
        As in `label_targets`.

    Returns
    -------
    Atlas

    Raises
    ------
    UnknownKeyError, ConfigError, DataError
        As in `label_targets`.

    References
    ----------
    Glasser et al. (2016), Nature 536, 171-178. Yeo et al. (2011), J Neurophysiol 106, 1125-1165.
    Schaefer et al. (2018), Cereb Cortex 28, 3095-3114. Margulies et al. (2016), PNAS 113,
    12574-12579, and Huntenburg et al. (2018), Trends Cogn Sci 22, 21-31: association cortex lies
    where the distance from primary areas along the cortex is largest.
    """
    _check(atlas, "fsLR32k", hemispheres)
    regions = tuple(_regions(atlas, directory))
    return Atlas(atlas, merge(regions) if hemispheres == "merged" else regions)


def regions_of(
    atlas: str | None,
    names: Sequence[str],
    *,
    hemisphere: Sequence[str] | None = None,
    directory: str | None = None,
) -> tuple[Region, ...]:
    """Describe the regions that data name.

    Where the atlas is absent (no atlas asked for, a package not installed, a file not fetched), the
    regions stay as the data name them, without network and position, and a message says so.

    Parameters
    ----------
    atlas : str or None
    names : sequence of str
        Of regions, once each; ``V1`` (both hemispheres), ``L_V1``, ``lh.V1``, ``V1_L``, ...
    hemisphere : sequence of str, optional
        ``L``, ``R`` or empty, one a name.
    directory : str, optional
        As in `label_targets`.

    Returns
    -------
    tuple of Region
        One a name, in that order.

    Raises
    ------
    UnknownKeyError
        No such atlas, or names that it does not have.
    DataError
        A hemisphere that contradicts the name.
    """
    sides = ["" for _ in names] if hemisphere is None else list(hemisphere)
    for name, side in zip(names, sides, strict=True):
        said = split_name(name)[0]
        if side not in ("L", "R", "") or (said and side and said != side):
            raise DataError(
                f"region '{name}' is said to lie in hemisphere '{side}'",
                where="regions",
                fix="write L, R or nothing, and as the name has it",
            )
    whole = _or_message(atlas, directory)
    if whole is None:
        return tuple(
            Region(name, side or split_name(name)[0], "", float("nan"))
            for name, side in zip(names, sides, strict=True)
        )
    return tuple(_found(name, side, whole) for name, side in zip(names, sides, strict=True))


def _or_message(atlas: str | None, directory: str | None) -> Atlas | None:
    if atlas is None:
        return None
    try:
        return open_atlas(atlas, directory=directory)
    except DataError as error:
        log.warning("regions are as the data name them, without networks and positions: %s", error)
        return None


def _found(name: str, side: str, atlas: Atlas) -> Region:
    matched = match_region(name, side, atlas.names)
    if not matched:
        bare = split_name(name)[1]
        areas = {region.area for region in atlas.regions}
        raise UnknownKeyError(
            f"region '{name}' is not in atlas '{atlas.name}'",
            where="regions",
            fix=did_you_mean(bare, areas),
        )
    by_name = {region.name: region for region in atlas.regions}
    (one,) = merge(by_name[match] for match in matched)
    hemisphere = matched[0][0] if len(matched) == 1 else ""
    return Region(name, hemisphere, one.network, one.order)


def _check(atlas: str, space: str, hemispheres: str) -> None:
    for what, word, known in (("atlas", atlas, ATLASES), ("space", space, SPACES)):
        if word not in known:
            raise UnknownKeyError(f"unknown {what} '{word}'", fix=did_you_mean(word, known))
    if hemispheres == "merged" and atlas.startswith("schaefer"):
        raise ConfigError(
            f"the parcels of '{atlas}' differ between hemispheres and cannot be merged",
            where="atlas",
            fix="set hemispheres: apart",
        )


def _regions(atlas: str, directory: str | None) -> list[AtlasRegion]:
    try:
        found = describe(
            labels_of(atlas, "fsLR32k", directory), {side: fs_lr_maps(side) for side in SIDES}
        )
    except DataError as absent:
        if not atlas.startswith("schaefer"):
            raise
        log.info("%s", absent)
        found = _on_fsaverage5(atlas, directory)
    if atlas != "hcp-mmp1":
        return found
    rank = {name: key for key, name in parcellation("mmp_1.0.npz")[1].items()}
    return sorted(found, key=lambda region: rank[region.name])


def _on_fsaverage5(atlas: str, directory: str | None) -> list[AtlasRegion]:
    labels = labels_of(atlas, "fsaverage5", directory)
    try:
        areas = labels_of("hcp-mmp1", "fsaverage5", directory)
        networks = {region.name: region.network for region in open_atlas("hcp-mmp1").regions}
    except DataError as error:
        log.warning("no networks and positions of '%s': %s", atlas, error)
        return describe(labels, {})
    return describe(labels, {s: fsaverage5_maps(s, areas[s], networks) for s in SIDES})


def fetchable_atlases() -> tuple[str, ...]:
    """Atlases whose labels can be fetched."""
    return tuple(catalogue())


def fetch_atlas(
    atlas: str,
    directory: str | Path,
    *,
    source: str = SOURCE,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Fetch an atlas's labels on fsaverage5; a file that is there and right stays.

    Parameters
    ----------
    atlas : str
        One of `fetchable_atlases`.
    directory : str or Path
        Made when missing; ``~`` is expanded. To be named as the configuration's directory.
    source : str
        Address of the folder that holds the files; the default is a commit of a public repository.
    report : callable, optional
        Called with a line when the file was fetched.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    UnknownKeyError
        No checksum of that atlas is recorded.
    DataError
        The file cannot be fetched or written, or is not the recorded one.
    """
    entry = catalogue().get(atlas)
    if entry is None:
        known = "packages ship it, or you give its files" if atlas in ATLASES else ""
        raise UnknownKeyError(
            f"atlas '{atlas}' cannot be fetched" + (f": {known}" if known else ""),
            fix=did_you_mean(atlas, catalogue()),
        )
    target = Path(directory).expanduser() / entry.file
    where = f"atlas {target}"
    if target.is_file():
        check_content(entry, target.read_bytes(), where)
        return target
    fetch_file(
        source, entry.file, target, partial(check_content, entry), where=where, report=report
    )
    return target
