"""Noise ceilings of a data set of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.brains.custom.arrays import Samples, averaged, is_volume, read_vector
from convergent.brains.custom.config import OwnConfig, fill, hemispheres
from convergent.brains.custom.stimuli import Text
from convergent.brains.noise import (
    leave_one_subject_out_ceiling,
    ncsnr_ceiling,
    ncsnr_to_ceiling,
    split_half_ceiling,
)
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
        [
            read_vector(
                path,
                key=said.key,
                mask=inside if is_volume(path) else None,
                inside=config.responses.inside,
            )
            for path in paths
        ]
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


Shown = tuple[Text | None, np.ndarray, np.ndarray]


def shared_ceilings(
    opened: dict[str, Samples], shown: dict[str, Shown], *, story: bool, where: str
) -> dict[str, np.ndarray]:
    """Leave-one-subject-out ceilings over all subjects, from the stimuli that all answered.

    Parameters
    ----------
    opened : dict of str to Samples
        By subject.
    shown : dict of str to (items, member, repeats)
        Items in order of ids (None for a story), the item of each sample, its number of samples.
    story : bool
        Whether samples are volumes, which must then be as many for all.
    where : str
        For messages.

    Raises
    ------
    DataError
        Other targets or volumes, or too few common stimuli.
    """
    widths = {one.shape[1] for one in opened.values()}
    lengths = {one.shape[0] for one in opened.values()}
    if len(widths) > 1 or (story and len(lengths) > 1):
        raise DataError(
            "subjects have different targets or volumes, so that they cannot predict each other",
            where=where,
            fix="bring them to one space, or give 'ceilings: {from: repeats}' or a file",
        )
    rows = _common_rows(shown, where)
    blocks = []
    for start, stop in next(iter(opened.values())).blocks():
        stacked = np.stack([
            averaged(one.targets(start, stop), *shown[subject][1:])[rows[subject]]
            for subject, one in opened.items()
        ])  # fmt: skip
        finite = np.isfinite(stacked).all(axis=(0, 1))
        found_here = np.full((len(opened), stop - start), np.nan)
        if finite.any():
            found_here[:, finite] = leave_one_subject_out_ceiling(stacked[:, :, finite])
        blocks.append(found_here)
    together = np.concatenate(blocks, axis=1)
    return dict(zip(opened, together, strict=True))


def _common_rows(shown: dict[str, Shown], where: str) -> dict[str, np.ndarray]:
    items = {subject: found_here[0] for subject, found_here in shown.items()}
    if any(ids is None for ids in items.values()):
        return {subject: np.arange(len(shown[subject][1])) for subject in shown}
    known = {subject: np.asarray(ids) for subject, ids in items.items()}
    common = set.intersection(*(set(ids.tolist()) for ids in known.values()))
    if len(common) < 3:
        raise DataError(
            f"{len(common)} stimuli that all subjects answered",
            where=where,
            fix="give 'ceilings: {from: repeats}', a file, or none",
        )
    return {subject: np.flatnonzero(np.isin(ids, sorted(common))) for subject, ids in known.items()}
