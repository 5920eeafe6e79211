"""Noise ceilings of a data set of one's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.brains.custom.arrays import Samples, averaged, is_volume, read_vector
from convergent.brains.custom.config import OwnConfig, fill, hemispheres
from convergent.brains.custom.stimuli import Text
from convergent.brains.noise import (
    correlation,
    halves_ceiling,
    ncsnr_to_ceiling,
    noise_of_repeats,
    repeats_ceiling,
)
from convergent.brains.types import StimulusSet
from convergent.errors import DataError

Floats = NDArray[np.float64]


def given(config: OwnConfig, folder: Path, subject: str, repeats: NDArray[np.intp]) -> Floats:
    """Ceiling of each target from a file, in r^2 units.

    A noise-ceiling signal-to-noise ratio is of single trials: the ceiling is that of averages
    over ``repeats``. All others are taken to be of the averages that are scored, as they are.

    Parameters
    ----------
    repeats : ndarray of int, shape (item,)
        Of the items that scores are computed on.

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


def of_block(source: str, block: Any, ids: Text, scored: NDArray[np.bool_]) -> Floats:
    """Ceiling of a block of targets from the repeats of stimuli.

    Parameters
    ----------
    source : {"repeats", "split-half"}
        Variance within and between stimuli, or Spearman-Brown from halves.
    block : ndarray, shape (trial, target)
        As they are scored.
    ids : ndarray of str, shape (trial,)
        Stimulus of each trial.
    scored : ndarray of bool, shape (trial,)
        Whether scores are computed on that stimulus.
    """
    ceiling = repeats_ceiling if source == "repeats" else halves_ceiling
    return ceiling(block, ids, scored)


def scored_items(items: Text, stimuli: StimulusSet) -> NDArray[np.bool_]:
    """Items that scores are computed on: of a fixed split the test side, with folds all."""
    if stimuli.split is None:
        return np.ones(items.size, dtype=bool)
    named = stimuli.ids if stimuli.item is None else stimuli.item
    return np.isin(items, named[stimuli.split == "test"])


def usable_targets(block: Any, session: Text | None) -> NDArray[np.bool_]:
    """Targets that have a ceiling: finite, and not constant (in any session, where given)."""
    finite: NDArray[np.bool_] = np.isfinite(block).all(axis=0)
    runs = np.zeros(len(block), dtype=np.intp)
    if session is not None:
        _, runs = np.unique(session, return_inverse=True)
    for run in range(int(runs.max()) + 1):
        part = block[runs == run]
        if len(part) > 1 or session is None:
            finite &= ~(part.max(axis=0) == part.min(axis=0))
    return finite


def between_sessions(block: Any, session: Text) -> Floats:
    """Share of the variance of trials that lies between sessions, beyond chance, (target,)."""
    names, member, counts = np.unique(session, return_inverse=True, return_counts=True)
    if names.size < 2:
        return np.zeros(block.shape[1])
    centred = block - block.mean(axis=0)
    means = averaged(centred, member, counts)
    total = (centred**2).sum(axis=0)
    between = (counts[:, None] * means**2).sum(axis=0)
    share = between / np.where(total > 0, total, 1.0)
    chance = (names.size - 1) / max(len(block) - 1, 1)
    beyond: Floats = np.maximum(share - chance, 0.0)
    return beyond


def _hemispheres(folder: Path, pattern: str, subject: str) -> list[Path]:
    if "{hemi}" not in pattern:
        return [fill(folder, pattern, subject=subject)]
    return [
        fill(folder, pattern, subject=subject, hemi=hemi)
        for hemi in hemispheres(folder, pattern, subject)
    ]


@dataclass(frozen=True)
class Shown:
    """What a subject's samples answer.

    Attributes
    ----------
    items : ndarray of str, shape (item,), or None
        In order of ids; None for a story.
    member : ndarray of int, shape (sample,)
        Item of each sample.
    repeats : ndarray of int, shape (item,)
    scored : ndarray of bool, shape (item,)
        Whether scores are computed on the item.
    """

    items: Text | None
    member: NDArray[np.intp]
    repeats: NDArray[np.intp]
    scored: NDArray[np.bool_]


# Responses of a subject to targets, (sample, target), as they are scored, and which are usable.
Read = Callable[[str, int, int], tuple[np.ndarray, NDArray[np.bool_]]]


def shared_ceilings(
    opened: dict[str, Samples],
    shown: dict[str, Shown],
    read: Read,
    *,
    story: bool,
    where: str,
) -> dict[str, np.ndarray]:
    """Leave-one-subject-out ceilings over all subjects, from the scored stimuli that all answered.

    The square of a subject's correlation with the mean of the others, each of whom is
    standardised over those stimuli; subjects whose target cannot be used are left out of it.
    Where the common stimuli have other numbers of repeats than all that the subject is scored
    on, the ceiling is moved to the latter: the subject's variance changes by the noise of its own
    repeats times the difference of the means of 1 / repeats.

    Parameters
    ----------
    opened : dict of str to Samples
        By subject.
    shown : dict of str to Shown
    read : callable
        Subject, first and last target: responses as they are scored, and usable targets.
    story : bool
        Whether samples are volumes, which must then be as many for all.
    where : str
        For messages.

    Raises
    ------
    DataError
        One subject, other targets or volumes, or too few common stimuli.
    """
    if len(opened) < 2:
        raise DataError(
            f"{len(opened)} subject, whom nobody can predict",
            where=where,
            fix="give 'ceilings: {from: repeats}', a file, or none",
        )
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
        common, usable, grown = [], [], []
        for subject, one in shown.items():
            block, good = read(subject, start, stop)
            block = np.where(good, block, 0.0)
            means = averaged(block, one.member, one.repeats)[rows[subject]]
            good = good & (means.max(axis=0) > means.min(axis=0))
            common.append(means)
            usable.append(good)
            grown.append(_grown(block, means, one, rows[subject]))
        blocks.append(_of_others(np.stack(common), np.stack(usable)) * np.stack(grown))
    together = np.clip(np.concatenate(blocks, axis=1), 0.0, 1.0)
    return dict(zip(opened, together, strict=True))


def _of_others(data: np.ndarray, usable: NDArray[np.bool_]) -> np.ndarray:
    """Squared correlation of each subject with the mean of the others, (subject, target).

    Parameters
    ----------
    data : ndarray, shape (subject, item, target)
    usable : ndarray of bool, shape (subject, target)
    """
    centred = data - data.mean(axis=1, keepdims=True)
    size = np.where(usable, centred.std(axis=1), 1.0)[:, None]
    unit = np.where(usable[:, None], centred / size, 0.0)
    others = unit.sum(axis=0) - unit
    r = correlation(others, unit, axis=1)
    alone = usable.sum(axis=0) - usable == 0
    return np.where(usable & ~alone, np.maximum(r, 0.0) ** 2, np.nan)


def _grown(block: np.ndarray, means: np.ndarray, one: Shown, rows: NDArray[np.intp]) -> np.ndarray:
    """Variance of averages over common stimuli as a share of that over all scored ones."""
    kept = 1.0 / one.repeats
    more = kept[one.scored].mean() - kept[rows].mean()
    if more == 0.0:  # where nothing was repeated, too
        return np.ones(means.shape[1])
    noise = noise_of_repeats(block, one.member, one.scored[one.member])
    common = means.var(axis=0, ddof=1)
    whole = common + more * noise
    share: np.ndarray = np.divide(common, whole, out=np.ones_like(common), where=whole > 0)
    return share


def _common_rows(shown: dict[str, Shown], where: str) -> dict[str, NDArray[np.intp]]:
    known = {s: one.items for s, one in shown.items() if one.items is not None}
    if len(known) < len(shown):
        return {s: np.arange(len(one.member)) for s, one in shown.items()}
    tested = {s: items[shown[s].scored] for s, items in known.items()}
    common = set.intersection(*(set(items.tolist()) for items in tested.values()))
    if len(common) < 3:
        raise DataError(
            f"{len(common)} scored stimuli that all subjects answered",
            where=where,
            fix="give 'ceilings: {from: repeats}', a file, or none",
        )
    return {s: np.flatnonzero(np.isin(items, sorted(common))) for s, items in known.items()}
