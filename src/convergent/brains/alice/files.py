"""The published files: which there are, what they must hold, and reading them strictly."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convergent.brains.open import fetch_file, recorded
from convergent.errors import DataError

TEXTGRID = "alice_stim_shared/DownTheRabbitHoleFinal_exp120_pad_1.TextGrid"
LICENSE = "CC BY 4.0"
CITATION = (
    "Brennan, Stabler, Van Wagenen, Luh & Hale (2016). Abstract linguistic structure correlates "
    "with temporal activity during naturalistic comprehension. Brain and Language 157-158, 81-94."
)
COMMIT = "ec54039b6ac5ad7bf8c81b91768108e5be5c1ce0"
SOURCE = f"https://raw.githubusercontent.com/daandouwe/Thesis/{COMMIT}/brain-data/syntax-in-rnng/"


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """One file of the data set: relative path, size in bytes and SHA-256."""

    path: str
    size: int
    sha256: str


@cache
def published_files() -> dict[str, PublishedFile]:
    """All usable files of the data set, by relative path, from ``checksums.tsv``."""
    rows = recorded("convergent.brains.alice", "checksums.tsv")
    return {
        row["path"]: PublishedFile(row["path"], int(row["bytes"]), row["sha256"]) for row in rows
    }


def motion_file(subject: str) -> str:
    """Name of the subject's motion file; each scanner session named it differently."""
    prefix = f"alice_data_shared/{subject}-rp_"
    return next(path for path in published_files() if path.startswith(prefix))


class Folder:
    """The directory of the data set.

    Parameters
    ----------
    directory : str or Path
        Holds ``alice_data_shared`` and ``alice_stim_shared``; ``~`` and environment variables are
        expanded.
    dataset : str
        Name of the data set in the study, for messages.
    verify : bool
        Compare each file that is read with its published SHA-256.
    """

    def __init__(self, directory: str | Path, *, dataset: str, verify: bool) -> None:
        self.path = Path(os.path.expandvars(directory)).expanduser()
        self.verify = verify
        self._how = (
            "fetch the data with `convergent fetch alice --to DIR`, then give them with "
            f"`make alice DATA=DIR` or `--set datasets.{dataset}.options.data=DIR`"
        )

    def file(self, relative: str) -> Path:
        """Path of one file, checked.

        Raises
        ------
        DataError
            The directory or the file is missing, or the file is not the published one.
        """
        if not self.path.is_dir():
            raise DataError(
                "no such directory; expected one with the folders alice_data_shared and "
                "alice_stim_shared",
                where=f"Alice data {self.path}",
                fix=self._how,
            )
        path = self.path / relative
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(
                f"file {relative} cannot be read: {error.strerror}",
                where=f"Alice data {self.path}",
                fix=self._how,
            ) from None
        if self.verify:
            check(relative, content, where=f"Alice data {self.path}")
        return path

    def matrix(self, relative: str, shape: tuple[int, int]) -> NDArray[np.float64]:
        """Read a file of numbers.

        Parameters
        ----------
        relative : str
            Path within the directory.
        shape : (int, int)
            Expected lines and numbers a line.

        Raises
        ------
        DataError
            As in `file`, or another number of lines or columns, or a word that is no number.
        """
        path = self.file(relative)
        rows: list[list[float]] = []
        for number, line in enumerate(path.read_text(encoding="latin-1").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = [float(word) for word in line.split()]
            except ValueError as error:
                raise DataError(str(error), where=f"{path}, line {number}", fix=self._how) from None
            if len(row) != shape[1]:
                raise DataError(
                    f"{len(row)} columns, expected {shape[1]}",
                    where=f"{path}, line {number}",
                    fix=self._how,
                )
            rows.append(row)
        if len(rows) != shape[0]:
            raise DataError(
                f"{len(rows)} volumes, expected {shape[0]}", where=str(path), fix=self._how
            )
        return np.array(rows)


def check(relative: str, content: bytes, where: str) -> None:
    """Compare a file's content with what was published.

    Raises
    ------
    DataError
        Another size or SHA-256, or a file that is not part of the data set.
    """
    expected = published_files().get(relative)
    if expected is None:
        raise DataError(f"file {relative} is not part of the data set", where=where)
    found = hashlib.sha256(content).hexdigest()
    if found != expected.sha256:
        raise DataError(
            f"file {relative} is not the published one: {len(content)} bytes with SHA-256 "
            f"{found[:12]}, expected {expected.size} bytes with {expected.sha256[:12]}",
            where=where,
            fix="delete the file and download it again",
        )


def download(
    directory: str | Path,
    *,
    source: str = SOURCE,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Fetch the Alice data (3.4 MB, 141 files); files that are already there and right stay.

    Parameters
    ----------
    directory : str or Path
        Made when missing; ``~`` is expanded.
    source : str
        Address of the folder that holds ``alice_data_shared`` and ``alice_stim_shared``; the
        default is a commit of a public repository.
    report : callable, optional
        Called with one line a file.

    Returns
    -------
    Path
        The directory, to be given as option ``data`` of the reader.

    Raises
    ------
    DataError
        A file cannot be fetched or written, or is not the published one; nothing is left under its
        name, and a second call goes on from there.
    """
    directory = Path(directory).expanduser()
    where = f"Alice data {directory}"
    for relative in published_files():
        target = directory / relative
        if _is_right(target, relative):
            continue
        fetch_file(source, relative, target, partial(check, relative), where=where, report=report)
    return directory


def _is_right(path: Path, relative: str) -> bool:
    if not path.is_file():
        return False
    try:
        check(relative, path.read_bytes(), where=str(path))
    except DataError:
        return False
    return True


Array = NDArray[np.float64]


def cosine_drifts(samples: int, tr: float, cutoff: float | None) -> Array:
    """Slow cosines whose removal is a high-pass filter.

    Parameters
    ----------
    samples : int
        Volumes.
    tr : float
        Seconds between volumes.
    cutoff : float or None
        Period in seconds of the fastest cosine removed; None for the mean alone.

    Returns
    -------
    ndarray, shape (sample, drift)
        Discrete cosines of order 0 (the mean) to ``floor(2 * samples * tr / cutoff)``, as SPM uses.
    """
    highest = 0 if cutoff is None else int(2 * samples * tr / cutoff)
    phase = np.pi * (np.arange(samples) + 0.5) / samples
    return np.cos(phase[:, None] * np.arange(highest + 1))


def remove(nuisance: Array, data: Array) -> Array:
    """Residuals of the data given all nuisance columns at once.

    Parameters
    ----------
    nuisance : ndarray, shape (sample, column)
        Columns may be collinear; each is scaled to unit length before the fit.
    data : ndarray, shape (sample, target)

    Returns
    -------
    ndarray, shape (sample, target)
    """
    length = np.linalg.norm(nuisance, axis=0)
    basis = nuisance / np.where(length > 0, length, 1.0)
    residuals: Array = data - basis @ np.linalg.lstsq(basis, data, rcond=None)[0]
    return residuals


def standardise(data: Array) -> Array:
    """Zero mean and unit variance over the samples; constant targets become zero."""
    centred = data - data.mean(axis=0)
    deviation = data.std(axis=0)
    # Rounding leaves residuals of a constant target that are not exactly zero.
    negligible = deviation <= 1e-10 * np.abs(data).max(axis=0, initial=0.0)
    scaled: Array = np.where(negligible, 0.0, centred / np.where(negligible, 1.0, deviation))
    return scaled
