"""Noise ceilings of a data set of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.brains.noise import ncsnr_ceiling, ncsnr_to_ceiling, split_half_ceiling
from convergent.brains.own._arrays import read_vector
from convergent.brains.own._config import OwnConfig
from convergent.brains.own._patterns import fill
from convergent.errors import DataError

Floats = NDArray[np.float64]


def given(config: OwnConfig, folder: Path, subject: str, repeats: NDArray[np.intp]) -> Floats:
    """Ceiling of each target from a file, in r^2 units.

    Raises
    ------
    DataError
        Values outside their range; NaN is a target without ceiling.
    """
    said = config.ceilings
    assert said.file is not None
    mask = config.responses.mask
    paths = _hemispheres(folder, said.file, subject)
    inside = None if mask is None else fill(folder, mask, subject=subject)
    values = np.concatenate(
        [read_vector(path, key=said.key, mask=inside if _volume(path) else None) for path in paths]
    )
    top = {"r2": 1.0, "r": 1.0, "percent": 100.0, "ncsnr": np.inf}[said.units]
    wrong = np.flatnonzero((values < 0) | (values > top * (1 + 1e-6)))
    if wrong.size:
        raise DataError(
            f"{wrong.size} ceilings outside 0 to {top:g}, such as {values[wrong[0]]:.4g}",
            where=str(paths[0]),
            fix="set ceilings.units to r2, r, percent or ncsnr, as the file has them",
        )
    if said.units == "ncsnr":
        return ncsnr_to_ceiling(values, repeats)
    values = values / 100.0 if said.units == "percent" else values
    return np.minimum(values**2 if said.units == "r" else values, 1.0)


def of_block(source: str, block: Any, ids: Sequence[str], session: Sequence[str]) -> Floats:
    """Ceiling of a block of targets from the repeats of stimuli.

    Parameters
    ----------
    source : {"repeats", "split-half"}
        Noise-ceiling signal-to-noise ratio, or Spearman-Brown from halves.
    block : ndarray, shape (trial, target)
    ids, session : sequence of str, one a trial
    """
    if source == "repeats":
        return ncsnr_ceiling(block, np.asarray(ids), np.asarray(session))
    _, member, counts = np.unique(np.asarray(ids), return_inverse=True, return_counts=True)
    if counts.max() < 2:
        raise DataError(
            "no stimulus was repeated", where="noise ceiling", fix="give 'from: subjects' or a file"
        )
    # As many repeats of each as the least repeated one has that was repeated at all.
    number = int(counts[counts > 1].min())
    order = np.argsort(member, kind="stable")
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])[counts >= number]
    return split_half_ceiling(np.stack([block[order[first + k]] for k in range(number)]))


def _hemispheres(folder: Path, pattern: str, subject: str) -> list[Path]:
    if "{hemi}" not in pattern:
        return [fill(folder, pattern, subject=subject)]
    return [
        fill(folder, pattern, subject=subject, hemi=hemi)
        for hemi in hemispheres(folder, pattern, subject)
    ]


def hemispheres(folder: Path, pattern: str, subject: str) -> tuple[str, str]:
    """How a pattern's files spell left and right.

    Raises
    ------
    DataError
        One of the two is missing.
    """
    from convergent.brains.own._patterns import found

    values = found(folder, pattern, "hemi", subject=subject)
    for pair in (("L", "R"), ("lh", "rh"), ("left", "right")):
        if all(side in values for side in pair):
            return pair
    raise DataError(
        f"files of both hemispheres are not there: found {', '.join(values) or 'none'}",
        where=str(folder / pattern),
        fix="name them L and R, lh and rh, or left and right",
    )


def _volume(path: Path) -> bool:
    return path.name.endswith((".nii", ".nii.gz")) and ".d" not in path.name
