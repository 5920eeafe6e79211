"""Ceilings from how well subjects predict each other."""

from __future__ import annotations

import numpy as np

from convergent.brains.noise import leave_one_subject_out_ceiling
from convergent.brains.own._samples import Samples
from convergent.brains.own._tables import Text
from convergent.brains.own._trials import averaged
from convergent.errors import DataError

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
