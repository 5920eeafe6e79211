"""Label files: those of packages, and those that lie in the directory of the configuration."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from convergent.brains._download import recorded
from convergent.brains._packages import package_path
from convergent.brains.atlas._mesh import (
    FS_LR_VERTICES,
    FSAVERAGE5_VERTICES,
    FSAVERAGE_VERTICES,
    SIDES,
    Side,
    parcellation,
)
from convergent.brains.atlas._names import split_name
from convergent.brains.atlas._types import Labels
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
