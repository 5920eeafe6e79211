"""The experiment: which image each trial of each session showed."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.brains.nsd.files import SESSIONS, SUBJECTS
from convergent.errors import DataError, IdError

TRIALS = 750  # a session, where the file does not say
_AGAIN = "download the file again"

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Design:
    """Contents of ``nsd_expdesign.mat``; all numbers count from 1, as there.

    Attributes
    ----------
    ordering : ndarray of int, shape (trial,)
        ``masterordering``: number within a subject's images, by trial; the same for all subjects.
    images : ndarray of int, shape (subject, image)
        ``subjectim``: 73k id of each subject's images.
    shared : ndarray of int, shape (shared,)
        ``sharedix``: 73k ids of the images that all subjects have.
    trials : int
        A session.
    """

    ordering: Ints
    images: Ints
    shared: Ints
    trials: int

    @property
    def sessions(self) -> int:
        """Sessions that were planned."""
        return self.ordering.size // self.trials

    def completed(self, subject: str, wanted: int | None = None) -> int:
        """Sessions that a subject completed, of the first ``wanted``."""
        planned = min(self.sessions, SESSIONS[subject])
        return planned if wanted is None else min(planned, wanted)

    def shown(self, subject: str, session: int) -> Ints:
        """73k id of the image of each trial of a session, in order; shape (trial,)."""
        first = (session - 1) * self.trials
        own = self.images[SUBJECTS.index(subject)]
        shown: Ints = own[self.ordering[first : first + self.trials] - 1]
        return shown

    def seen_three_times_by_all(self, wanted: int | None = None) -> Ints:
        """Shared images of which every subject completed three trials, sorted."""
        counts = [self._counts(subject, wanted) for subject in SUBJECTS]
        return np.sort(self.shared[np.min(counts, axis=0) >= 3])

    def _counts(self, subject: str, wanted: int | None) -> Ints:
        """Trials of each shared image."""
        done = self.ordering[: self.completed(subject, wanted) * self.trials]
        own = self.images[SUBJECTS.index(subject)]
        times = np.bincount(done - 1, minlength=own.size)
        order = np.argsort(own)
        counts: Ints = times[order[np.searchsorted(own, self.shared, sorter=order)]]
        return counts


def read_design(path: Path) -> Design:
    """Read ``nsd_expdesign.mat``, of MATLAB version 5 or 7.3.

    Raises
    ------
    DataError
        Damaged, or not NSD's.
    IdError
        Image numbers that no subject has, an image twice, or shared images that are not shared.
    """
    content = read_mat(path, ("masterordering", "subjectim", "sharedix"), ("stimpattern",))
    ordering, shared = content["masterordering"].ravel(), content["sharedix"].ravel()
    images = content["subjectim"]
    if images.ndim != 2 or len(images) != len(SUBJECTS):
        raise DataError(f"subjectim has shape {images.shape}", where=str(path), fix=_AGAIN)
    if ordering.size == 0 or ordering.min() < 1 or ordering.max() > images.shape[1]:
        raise IdError(
            f"masterordering names images outside the {images.shape[1]} of a subject",
            where=str(path),
            fix=_AGAIN,
        )
    for subject, own in zip(SUBJECTS, images, strict=True):
        if np.unique(own).size != own.size or not np.isin(shared, own).all():
            raise IdError(
                f"images of {subject} occur twice, or lack shared ones",
                where=str(path),
                fix=_AGAIN,
            )
    return Design(ordering, images, shared, _trials(content, ordering.size, path))


def _trials(content: dict[str, Ints], total: int, path: Path) -> int:
    """Trials a session: from the pattern (session, run, trial) of blanks and stimuli."""
    per_session = {TRIALS}
    if "stimpattern" in content:
        pattern = content["stimpattern"]
        per_session = set(pattern.reshape(len(pattern), -1).sum(axis=1).tolist())
    number = max(per_session)
    if len(per_session) != 1 or number < 1 or total % number:
        raise DataError(
            f"{total} trials do not make sessions of {sorted(per_session)}",
            where=str(path),
            fix=_AGAIN,
        )
    return int(number)


def read_mat(path: Path, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Ints]:
    """Read whole numbers from a MATLAB file, with the axes as MATLAB has them.

    Raises
    ------
    DataError
        Damaged, or a variable is missing or not of whole numbers.
    """
    from scipy.io import loadmat

    try:
        try:
            content: dict[str, Any] = loadmat(path, variable_names=[*names, *optional])
        except NotImplementedError:  # version 7.3, which is HDF5 with the axes reversed
            content = _read_hdf5(path, (*names, *optional))
    except Exception as error:
        # scipy and h5py raise whatever a broken header leads them to
        raise DataError(f"the file cannot be read ({error})", where=str(path), fix=_AGAIN) from None
    found = {}
    for name in (*names, *optional):
        if name not in content:
            if name in optional:
                continue
            raise DataError(f"variable '{name}' is missing", where=str(path), fix=_AGAIN)
        values = np.asarray(content[name])
        if values.dtype.kind not in "uifb" or not np.array_equal(values, np.round(values)):
            raise DataError(f"'{name}' has other than whole numbers", where=str(path), fix=_AGAIN)
        found[name] = values.astype(np.int64)
    return found


def _read_hdf5(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        return {name: file[name][()].T for name in names if name in file}


@dataclass(frozen=True)
class StimulusInfo:
    """Contents of ``nsd_stim_info_merged.csv``.

    Attributes
    ----------
    number : ndarray of int, shape (image,)
        73k id, from 1 (``nsdId``, which counts from 0, plus 1).
    coco : ndarray of int, shape (image,)
        ``cocoId``.
    crop : tuple of str
        ``cropBox``: what was cut off, as shares of the photograph.
    shared : ndarray of bool, shape (image,)
        ``shared1000``.
    """

    number: Ints
    coco: Ints
    crop: tuple[str, ...]
    shared: NDArray[np.bool_]


def read_stimulus_info(path: Path, design: Design) -> StimulusInfo:
    """Read where the images come from, and compare it with the design.

    Raises
    ------
    DataError
        Columns are missing or malformed.
    IdError
        An image twice, or other shared images than the design's.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        info = StimulusInfo(
            number=np.array([int(row["nsdId"]) + 1 for row in rows], dtype=np.int64),
            coco=np.array([int(row["cocoId"]) for row in rows], dtype=np.int64),
            crop=tuple(row["cropBox"] for row in rows),
            shared=np.array([row["shared1000"].strip().lower() in ("true", "1") for row in rows]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"not NSD's table of stimuli ({type(error).__name__}: {error})",
            where=str(path),
            fix=_AGAIN,
        ) from None
    if np.unique(info.number).size != info.number.size:
        raise IdError("an nsdId occurs twice", where=str(path), fix=_AGAIN)
    _check_repeats(path, rows, info.number, design)
    if set(info.number[info.shared].tolist()) != set(design.shared.tolist()):
        raise IdError(
            "shared1000 marks other images than sharedix of the design",
            where=str(path),
            fix="both files must come from one release",
        )
    return info


_REPEAT = re.compile(r"subject([1-8])_rep[0-9]+")


def _check_repeats(path: Path, rows: list[dict[str, str]], numbers: Ints, design: Design) -> None:
    """Compare the trials that the table gives each subject's images with the design's.

    Raises
    ------
    DataError
        No whole number.
    IdError
        Another image.
    """
    for name in rows[0] if rows else ():
        which = _REPEAT.fullmatch(name)
        if which is None:
            continue
        try:
            trial = np.array([int(float(row[name] or 0)) for row in rows], dtype=np.int64)
        except (TypeError, ValueError) as error:
            raise DataError(f"{name}: {error}", where=str(path), fix=_AGAIN) from None
        # 0 where the image was not shown
        known = (trial >= 1) & (trial <= design.ordering.size)
        own = design.images[int(which[1]) - 1]
        other = np.flatnonzero(own[design.ordering[trial[known] - 1] - 1] != numbers[known])
        if other.size:
            first = np.flatnonzero(known)[other[0]]
            raise IdError(
                f"{name} has image {numbers[first]} at trial {trial[first]}, and the design "
                f"another one ({other.size} such images)",
                where=str(path),
                fix="both files must come from one release",
            )


def check_behaviour(path: Path, design: Design, subject: str) -> None:
    """Compare what a subject's table of answers says was shown with the design.

    Parameters
    ----------
    path : Path
        ``behav/responses.tsv``: a row a trial, with SUBJECT, SESSION and 73KID (from 1).
    design : Design
    subject : str

    Raises
    ------
    DataError
        Columns are missing or malformed, or the table is another subject's.
    IdError
        A session showed other images, or in another order.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        owner, session, number = (
            np.array([int(float(row[name])) for row in rows], dtype=np.int64)
            for name in ("SUBJECT", "SESSION", "73KID")
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"not NSD's table of answers ({type(error).__name__}: {error})",
            where=str(path),
            fix=_AGAIN,
        ) from None
    others = np.setdiff1d(owner, [SUBJECTS.index(subject) + 1])
    if others.size:
        raise DataError(
            f"SUBJECT is {others[0]} in the folder of {subject}",
            where=str(path),
            fix=f"put the files of {subject} into its folder",
        )
    for which in np.unique(session).tolist():
        if not 1 <= which <= design.sessions:
            raise DataError(f"session {which}", where=str(path), fix=_AGAIN)
        if not np.array_equal(number[session == which], design.shown(subject, which)):
            raise IdError(
                f"session {which} showed other images than the design has, or in another order",
                where=str(path),
                fix=f"answers and design must be of one release, and of {subject}",
            )


def image_ids(numbers: Ints) -> NDArray[np.str_]:
    """``nsd00001`` for the first of the 73,000 images (73k id 1)."""
    return np.array([f"nsd{number:05d}" for number in numbers.tolist()], dtype=np.str_)
