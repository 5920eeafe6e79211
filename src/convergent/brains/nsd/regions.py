"""Regions of voxels and vertices, and which of them are targets."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convergent.brains.nsd.files import HEMISPHERES, Atlas, Folder, Space, label_folder, open_image
from convergent.brains.types import Region
from convergent.errors import DataError

log = logging.getLogger(__name__)


_AGAIN = "download the file again"
# Where a table of names may be absent, because there is one name.
_NAMES: Mapping[str, Mapping[int, str]] = {"nsdgeneral": {1: "nsdgeneral"}}
# NSD's streams from early to high-level visual cortex.
_STREAMS = {
    "early": 0.0,
    "midventral": 0.5,
    "midlateral": 0.5,
    "midparietal": 0.5,
    "ventral": 1.0,
    "lateral": 1.0,
    "parietal": 1.0,
}

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Targets that lie in one file of betas.

    Attributes
    ----------
    hemisphere : {"lh", "rh", ""}
        Of the file; none for a volume, which has both.
    shape : tuple of int
        Voxels (x, y, z), or (vertex,), that the file must have.
    places : ndarray of int, shape (target,)
        Increasing places in the file, voxels with x running fastest.
    region : ndarray of str, shape (target,)
    """

    hemisphere: str
    shape: tuple[int, ...]
    places: NDArray[np.intp]
    region: NDArray[np.str_]


@dataclass(frozen=True)
class Labelling:
    """What divides a brain into regions.

    Attributes
    ----------
    folder : Folder
    space : {"func1pt8mm", "fsaverage", "nativesurface"}
    atlas : str
    mask : str or None
        Another atlas, in one of whose regions a target must lie.
    merge : bool
        Give both hemispheres' areas one name.
    """

    folder: Folder
    space: Space
    atlas: Atlas
    mask: Atlas | None
    merge: bool

    def parts(self, subject: str) -> tuple[Part, ...]:
        """Targets of a subject, by file of betas.

        Raises
        ------
        DataError
            Labels are missing, have other shapes than each other, or no name; or no target.
        """
        names = self._names(subject)
        labelled = {hemi: self._labels(subject, hemi, self.atlas) for hemi in HEMISPHERES}
        if self.mask is not None:
            for hemi, values in labelled.items():
                inside = self._labels(subject, hemi, self.mask) > 0
                if inside.shape != values.shape:
                    raise DataError(
                        f"{self.mask} has shape {inside.shape}, {self.atlas} {values.shape}",
                        where=f"{subject}, {hemi}",
                        fix=_AGAIN,
                    )
                values[~inside] = 0
        region = {
            hemi: self._region(values, names, hemi, subject) for hemi, values in labelled.items()
        }
        if self.space == "func1pt8mm":
            parts = [self._volume(labelled, region, subject)]
        else:
            parts = [_part(hemi, labelled[hemi].shape, region[hemi]) for hemi in HEMISPHERES]
        parts = [part for part in parts if part.places.size]
        if not parts:
            raise DataError(
                f"no target lies in {self.atlas}" + (f" and {self.mask}" if self.mask else ""),
                where=subject,
                fix="choose another atlas or mask",
            )
        return tuple(parts)

    def regions(self, subject: str) -> tuple[Region, ...]:
        """Regions that the atlas names, left before right."""
        names = [name for _, name in sorted(self._names(subject).items())]
        sides = ("",) if self.merge else tuple(HEMISPHERES.values())
        found = [(side, name if not side else f"{side}_{name}") for side in sides for name in names]
        known = _known(self.atlas, merged=self.merge)
        streams = dict(_STREAMS) if self.atlas == "streams" else {}
        return tuple(
            known.get(region)
            or Region(region, side, "", streams.get(region.removeprefix(f"{side}_"), math.nan))
            for side, region in found
        )

    def _labels(self, subject: str, hemisphere: str, atlas: Atlas) -> Labels:
        """Whole-number labels: voxels (x, y, z) or (vertex,)."""
        if self.space == "func1pt8mm":
            relative = f"nsddata/ppdata/{subject}/func1pt8mm/roi/{hemisphere}.{atlas}.nii.gz"
        else:
            relative = f"{label_folder(subject, self.space)}/{hemisphere}.{atlas}.mgz"
        values = read_map(self.folder.file(relative))
        values = np.nan_to_num(values)
        if not np.array_equal(values, np.round(values)):
            raise DataError(
                "labels are not whole numbers", where=str(self.folder.path / relative), fix=_AGAIN
            )
        return values.astype(np.int64)

    def _names(self, subject: str) -> dict[int, str]:
        """Names of labels: from the subject's table, or fsaverage's, which has the same."""
        places = [
            f"{label_folder(subject, space)}/{self.atlas}.mgz.ctab"
            for space in (self.space, "fsaverage")
        ]
        there = [place for place in places if self.folder.has(place)]
        if not there and self.atlas in _NAMES:
            return dict(_NAMES[self.atlas])
        return read_names(self.folder.file((there or places)[0]))

    def _region(
        self, values: Labels, names: Mapping[int, str], hemi: str, subject: str
    ) -> NDArray[np.str_]:
        """Region of each voxel or vertex, empty where there is none; flat, x running fastest."""
        flat = values.ravel(order="F")
        unknown = sorted(set(np.unique(flat[flat > 0]).tolist()) - set(names))
        if unknown:
            raise DataError(
                f"labels without a name: {', '.join(map(str, unknown[:5]))}",
                where=f"{subject}, {hemi}.{self.atlas}",
                fix="labels and their .ctab must come from one release",
            )
        prefix = "" if self.merge else f"{HEMISPHERES[hemi]}_"
        table = np.array(
            ["", *(f"{prefix}{names[label]}" for label in sorted(names))], dtype=np.str_
        )
        place = 1 + np.searchsorted(sorted(names), flat)
        return np.asarray(table[np.where(flat > 0, place, 0)])

    def _volume(
        self, labelled: Mapping[str, Labels], region: Mapping[str, NDArray[np.str_]], subject: str
    ) -> Part:
        left, right = labelled["lh"], labelled["rh"]
        if left.shape != right.shape:
            raise DataError(
                f"lh.{self.atlas} has shape {left.shape}, rh.{self.atlas} {right.shape}",
                where=subject,
                fix=_AGAIN,
            )
        one, other = region["lh"], region["rh"]
        both = (one != "") & (other != "") & (one != other)
        # a voxel on the midline that both sides claim is neither's
        return _part("", left.shape, np.where(both, "", np.where(one == "", other, one)))


def _part(hemisphere: str, shape: tuple[int, ...], region: NDArray[np.str_]) -> Part:
    places = np.flatnonzero(region != "")
    return Part(hemisphere, shape, places, region[places])


def read_map(path: Path) -> NDArray[np.float64]:
    """Values of a volume (x, y, z), or of the vertices (vertex,) of an MGH file.

    Raises
    ------
    DataError
        Damaged.
    """
    try:
        with open_image(path) as image:
            values = np.asarray(image.dataobj, dtype=np.float64)
    except Exception as error:
        # gzip, zlib and nibabel raise what they like on a broken file
        raise DataError(f"the file cannot be read ({error})", where=str(path), fix=_AGAIN) from None
    return values if path.name.endswith(".nii.gz") else values.reshape(-1, order="F")


def read_names(path: Path) -> dict[int, str]:
    """Names of the labels above 0: lines of a number and a name.

    Raises
    ------
    DataError
        A line is something else, or a number or name occurs twice.
    """
    names: dict[int, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) < 2 or not words[0].lstrip("-").isdigit():
            raise DataError(
                f"'{line}' is not a number and a name", where=f"{path}, line {number}", fix=_AGAIN
            )
        label, name = int(words[0]), words[1]
        if label in names or name in names.values():
            raise DataError(f"'{line}' occurs twice", where=f"{path}, line {number}", fix=_AGAIN)
        if label > 0:
            names[label] = name
    return names


def _known(atlas: Atlas, *, merged: bool) -> dict[str, Region]:
    """What is known of HCP-MMP1 areas; nothing where the package that knows them is absent."""
    if atlas != "HCP_MMP1":
        return {}
    from convergent.brains.atlas import open_atlas

    try:
        areas = open_atlas("hcp-mmp1", hemispheres="merged" if merged else "apart").regions
    except DataError as error:
        log.warning("areas are named without networks and positions: %s", error)
        return {}
    return {a.name: Region(a.name, a.hemisphere, a.network, a.order) for a in areas}
