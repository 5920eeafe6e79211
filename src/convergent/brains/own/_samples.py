"""One subject's samples: files of hemispheres side by side, files of runs one below the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convergent.brains.own._arrays import open_values
from convergent.brains.own._ceilings import hemispheres
from convergent.brains.own._config import OwnConfig
from convergent.brains.own._patterns import fill, found
from convergent.brains.own._tables import Text, column, read_list, read_table
from convergent.errors import DataError, IdError

BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Samples:
    """Opened files of a subject.

    Attributes
    ----------
    runs : list of list of array
        Runs, and of each the files of its hemispheres, (sample, target).
    ids : ndarray of str, shape (sample,), or None
        Stimulus of each sample (items).
    session : ndarray of str, shape (sample,)
    where : str
    """

    runs: list[list[Any]]
    ids: Text | None
    session: Text
    where: str

    @property
    def shape(self) -> tuple[int, int]:
        """Samples and targets."""
        widths = [sum(part.shape[1] for part in run) for run in self.runs]
        return sum(run[0].shape[0] for run in self.runs), widths[0]

    def targets(self, start: int, stop: int) -> np.ndarray:
        """Read targets ``start`` to ``stop`` of all samples, as float64."""
        return np.concatenate([_columns(run, start, stop) for run in self.runs])

    def blocks(self) -> list[tuple[int, int]]:
        """Ranges of targets that are read together."""
        samples, targets = self.shape
        step = max(1, BLOCK_BYTES // (8 * max(samples, 1)))
        return [(start, min(start + step, targets)) for start in range(0, targets, step)]


def _columns(parts: list[Any], start: int, stop: int) -> np.ndarray:
    pieces, offset = [], 0
    for part in parts:
        low, high = max(start - offset, 0), min(stop - offset, part.shape[1])
        if low < high:
            pieces.append(np.asarray(part[:, low:high], dtype=np.float64))
        offset += part.shape[1]
    return np.concatenate(pieces, axis=1)


def open_samples(config: OwnConfig, folder: Path, subject: str) -> Samples:
    """Open a subject's files and join each with its ids.

    Raises
    ------
    DataError
        A file is missing, or the files do not fit each other.
    IdError
        Another number of ids than samples.
    """
    said = config.responses
    where = f"{folder / said.files}, subject '{subject}'"
    runs = found(folder, said.files, "run", subject=subject) if "{run}" in said.files else [""]
    if not runs:
        raise DataError("no file of any run", where=where, fix="check responses.files")
    opened: list[list[Any]] = []
    ids: list[Text] = []
    session: list[Text] = []
    for run in runs:
        opened.append(_open_run(config, folder, subject, run))
        samples = opened[-1][0].shape[0]
        answered, sessions = _ids(config, folder, subject, run)
        if answered is not None and answered.size != samples:
            raise IdError(
                f"{answered.size} ids for {samples} samples" + (f" of run {run}" if run else ""),
                where=where,
                fix="give one row of responses.ids a sample, or set responses.samples: 1 where "
                "targets come first",
            )
        ids += [] if answered is None else [answered]
        session.append(np.full(samples, run) if sessions is None else sessions)
    widths = {sum(part.shape[1] for part in run) for run in opened}
    if len(widths) > 1:
        raise DataError(f"runs of {sorted(widths)} targets", where=where, fix="use one mask")
    return Samples(opened, np.concatenate(ids) if ids else None, np.concatenate(session), where)


def _open_run(config: OwnConfig, folder: Path, subject: str, run: str) -> list[Any]:
    said = config.responses
    pattern = said.files.replace("{run}", run)
    sides = hemispheres(folder, pattern, subject) if "{hemi}" in pattern else ("",)
    mask = None if said.mask is None else fill(folder, said.mask, subject=subject)
    parts = [
        open_values(
            fill(folder, pattern, subject=subject, hemi=side),
            key=said.key,
            mask=mask,
            samples=said.samples,
        )
        for side in sides
    ]
    counts = {part.shape[0] for part in parts}
    if len(counts) > 1:
        raise DataError(
            f"hemispheres of {' and '.join(str(part.shape[0]) for part in parts)} samples",
            where=f"{folder / pattern}, subject '{subject}'",
            fix="give both hemispheres of the same samples",
        )
    return parts


def _ids(
    config: OwnConfig, folder: Path, subject: str, run: str
) -> tuple[Text | None, Text | None]:
    said = config.responses
    if said.ids is None:
        return None, None
    path = fill(folder, said.ids, subject=subject, run=run)
    if said.session is None:
        return read_list(path, said.id, "responses.id"), None
    table = read_table(path)
    return (
        column(table, said.id, path, "responses.id"),
        column(table, said.session, path, "responses.session"),
    )
