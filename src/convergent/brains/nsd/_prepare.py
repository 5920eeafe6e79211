"""From sessions of betas to a response for each image, and how reliable it is."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convergent.brains.nsd._betas import Session, open_session
from convergent.brains.nsd._files import Format, session_file
from convergent.brains.nsd._labels import Part
from convergent.brains.nsd._sums import CHUNK, Rows
from convergent.errors import DataError

log = logging.getLogger(__name__)

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trials:
    """What was shown in the sessions that are there.

    Attributes
    ----------
    sessions : tuple of int
        Increasing.
    number : ndarray of int, shape (session, trial)
        73k id of the image.
    """

    sessions: tuple[int, ...]
    number: NDArray[np.int64]

    @property
    def images(self) -> NDArray[np.int64]:
        """73k ids of the images that were shown, increasing; shape (image,)."""
        return np.unique(self.number)

    @property
    def counts(self) -> NDArray[np.intp]:
        """Trials of each image, shape (image,)."""
        counts: NDArray[np.intp] = np.unique(self.number, return_counts=True)[1]
        return counts


@dataclass(frozen=True)
class Prepared:
    """Responses to images.

    Attributes
    ----------
    rows : Rows
        Sums over the trials of each image, or the trials themselves.
    noise : ndarray of float64, shape (target,)
        v^2: variance (n - 1) over the trials of an image, mean over the images that were repeated;
        NaN where there is none, or the target is not valid.
    valid : ndarray of bool, shape (target,)
        Finite, and not constant, in every session.
    """

    rows: Rows
    noise: Floats
    valid: NDArray[np.bool_]


def prepare(
    parts: Sequence[Part],
    trials: Trials,
    folder: Path,
    suffix: Format,
    *,
    scratch: str | Path,
    single: bool = False,
    chunk: int = CHUNK,
) -> Prepared:
    """Read sessions one after the other, z-score each target within each, and sum by image.

    Memory does not grow with the number of sessions, and with that of targets only by what
    compressed volumes hold; the sums are on disk.

    Parameters
    ----------
    parts : sequence of Part
        Targets, in the order of the result.
    trials : Trials
    folder : Path
        Of the betas.
    suffix : str
        Format.
    scratch : str or Path
        Directory for the sums.
    single : bool
        Keep the trials, in the order of the sessions' numbers, instead of sums by image.
    chunk : int
        Targets at once.

    Raises
    ------
    DataError
        A session is missing, damaged, of other trials or targets than it must have, or the same
        as another.
    """
    sizes = [part.places.size for part in parts]
    images, counts = trials.images, trials.counts
    weights = np.zeros(images.size)
    weights[counts > 1] = 1.0 / (counts[counts > 1] - 1)
    squares, valid = np.zeros(sum(sizes)), np.ones(sum(sizes), dtype=bool)
    guard = _Guard()
    with ExitStack() as on_error:
        sums = Rows(scratch, images.size, sizes, chunk)
        on_error.callback(sums.close)
        kept = Rows(scratch, trials.number.size, sizes, chunk) if single else None
        if kept is not None:
            on_error.callback(kept.close)
        for place, number in enumerate(trials.sessions):
            shown = np.searchsorted(images, trials.number[place])
            own = place * shown.size + np.arange(shown.size)
            for index, part in enumerate(parts):
                path = folder / session_file(part.hemisphere, number, suffix)
                with open_session(path, suffix, volume=len(part.shape) == 3) as session:
                    _check(session, part, shown.size)
                    guard.check(session, number)
                    for chunk_number, targets, places in _chunks(sums, parts, index):
                        z, good = z_score(session.read(places))
                        valid[targets] &= good
                        squares[targets] += weights[shown] @ np.square(z, dtype=np.float64)
                        sums.add(chunk_number, shown, z)
                        if kept is not None:
                            kept.add(chunk_number, own, z)
            log.info("session %d of %d", place + 1, len(trials.sessions))
        noise = _noise(sums, squares, counts, weights)
        noise[~valid] = np.nan
        on_error.pop_all()
    if kept is None:
        return Prepared(sums, noise, valid)
    sums.close()
    return Prepared(kept, noise, valid)


def z_score(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Standardise each target over a session's trials (sd of n - 1).

    Returns
    -------
    z : ndarray of float32, shape (trial, target)
        0 in targets that are not finite, or constant.
    good : ndarray of bool, shape (target,)
        The others.
    """
    finite = np.isfinite(values).all(axis=0)
    values = np.where(finite, values, np.float32(0))
    good = finite & (values.max(axis=0) > values.min(axis=0))
    mean = values.mean(axis=0, dtype=np.float64)
    sd = values.std(axis=0, dtype=np.float64, ddof=1)
    z = (values - mean) / np.where(good, sd, 1.0)
    return np.where(good, z, 0.0).astype(np.float32), good


def _chunks(
    sums: Rows, parts: Sequence[Part], index: int
) -> Iterator[tuple[int, slice, NDArray[np.intp]]]:
    """Number, targets and places in the file of each chunk of a part."""
    first = sum(part.places.size for part in parts[:index])
    for number, (owner, targets) in enumerate(zip(sums.part, sums.chunks, strict=True)):
        if owner == index:
            inside = slice(targets.start - first, targets.stop - first)
            yield number, targets, parts[index].places[inside]


def _noise(sums: Rows, squares: Floats, counts: NDArray[np.intp], weights: Floats) -> Floats:
    """v^2 from the sums of squares, less n times the squared means, of repeated images."""
    repeated = int((counts > 1).sum())
    if repeated == 0:
        return np.full(squares.size, np.nan)
    within = squares.copy()
    for index, targets in enumerate(sums.chunks):
        for rows, values in sums.pieces(index):
            share = weights[rows] / counts[rows]
            within[targets] -= share @ np.square(values, dtype=np.float64)
    return np.asarray(np.maximum(within, 0.0) / repeated)


def _check(session: Session, part: Part, trials: int) -> None:
    if session.shape != part.shape:
        what = "voxels" if len(part.shape) == 3 else "vertices"
        raise DataError(
            f"the session has {session.shape} {what}, the labels of "
            f"{part.hemisphere or 'the volume'} have {part.shape}",
            where=str(session.path),
            fix="betas and labels must be of one subject, space and hemisphere",
        )
    if session.trials != trials:
        raise DataError(
            f"the session has {session.trials} trials, the design {trials}",
            where=str(session.path),
            fix="download the session again",
        )


class _Guard:
    """Finds files that hold the same betas: a copy under another name."""

    def __init__(self) -> None:
        self._seen: dict[str, Path] = {}

    def check(self, session: Session, number: int) -> None:
        """Compare a session's middle with all before.

        Raises
        ------
        DataError
        """
        total = int(np.prod(session.shape))
        middle = total // 2
        some = np.arange(max(0, middle - 32), min(total, middle + 32))
        values = session.read(some)
        values = np.nan_to_num(values)
        if not values.any():  # outside the brain: says nothing
            return
        digest = hashlib.sha256(values.tobytes()).hexdigest()
        before = self._seen.setdefault(digest, session.path)
        if before != session.path:
            raise DataError(
                f"session {number} has the betas of {before.name}",
                where=str(session.path),
                fix="download both files again",
            )
