"""From sessions of betas to a response for each image, and how reliable it is."""

from __future__ import annotations

import hashlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.brains.nsd.files import Format, open_image, session_file
from convergent.brains.nsd.regions import Part
from convergent.errors import DataError
from convergent.store import RowFile

log = logging.getLogger(__name__)


SCALE = 300.0
_AGAIN = "download the session again"

Places = NDArray[np.intp]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Session:
    """An open file of betas.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        Voxels (x, y, z), or (vertex,).
    trials : int
    read : callable
        Percent signal change of targets, from their increasing places; shape (trial, target).
    """

    path: Path
    shape: tuple[int, ...]
    trials: int
    read: Callable[[Places], Floats]


@contextmanager
def open_session(path: Path, suffix: Format, *, volume: bool) -> Iterator[Session]:
    """Open a session.

    Raises
    ------
    DataError
        Missing, damaged (also when it shows only as values are read), or of another type than
        NSD's.
    """
    opened = _hdf5 if suffix == "hdf5" else _nifti if suffix == "nii.gz" else _mgh
    try:
        with opened(path, volume) as session:
            yield session
    except (DataError, KeyboardInterrupt):
        raise
    except FileNotFoundError:
        raise DataError("the session is missing", where=str(path), fix=_AGAIN) from None
    except _damages() as error:
        raise DataError(
            f"the session is damaged ({type(error).__name__}: {error})",
            where=str(path),
            fix=_AGAIN,
        ) from None


def _damages() -> tuple[type[Exception], ...]:
    import zlib

    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    nibabel = (ImageFileError, HeaderDataError, WrapStructError)
    return (OSError, EOFError, KeyError, ValueError, TypeError, zlib.error, *nibabel)


@contextmanager
def _hdf5(path: Path, volume: bool) -> Iterator[Session]:
    import h5py

    with h5py.File(path, "r") as file:
        betas = file["betas"]
        _check_type(betas.dtype, np.dtype(np.int16), path)
        if betas.ndim != (4 if volume else 2):
            raise ValueError(f"betas of shape {betas.shape}")
        reader = _read_volume if volume else _read_range
        # MATLAB's axes come reversed: (trial, z, y, x), or (trial, vertex)
        yield Session(
            path, betas.shape[:0:-1], betas.shape[0], lambda places: reader(betas, places) / SCALE
        )


def _read_range(betas: Any, places: Places) -> Floats:
    first = int(places[0])
    part = betas[:, first : int(places[-1]) + 1]
    return np.asarray(part[:, places - first], dtype=np.float32)


def _read_volume(betas: Any, places: Places) -> Floats:
    """Read plane by plane, each the smallest box around its voxels: chunks are single voxels."""
    _, _, height, width = betas.shape
    z, rest = np.divmod(places, height * width)
    y, x = np.divmod(rest, width)
    values = np.empty((betas.shape[0], places.size), dtype=np.float32)
    for plane in np.unique(z):
        here = z == plane
        top, left = int(y[here].min()), int(x[here].min())
        box = betas[:, int(plane), top : int(y[here].max()) + 1, left : int(x[here].max()) + 1]
        values[:, here] = box[:, y[here] - top, x[here] - left]
    return values


@contextmanager
def _nifti(path: Path, volume: bool) -> Iterator[Session]:
    with open_image(path) as image:
        _check_type(image.get_data_dtype().newbyteorder("="), np.dtype(np.int16), path)
        if len(image.shape) != 4 or not volume:
            raise ValueError(f"betas of shape {image.shape}")
        # compressed files have no other way than to be read whole
        whole = np.asarray(image.dataobj.get_unscaled())
    flat = whole.reshape(-1, whole.shape[3], order="F")
    yield Session(
        path,
        whole.shape[:3],
        whole.shape[3],
        lambda places: flat[places].T.astype(np.float32) / np.float32(SCALE),
    )


@contextmanager
def _mgh(path: Path, volume: bool) -> Iterator[Session]:
    with open_image(path) as image:
        _check_type(image.get_data_dtype().newbyteorder("="), np.dtype(np.float32), path)
        if len(image.shape) != 4 or image.shape[1:3] != (1, 1) or volume:
            raise ValueError(f"betas of shape {image.shape}")

        def read(places: Places) -> Floats:
            first = int(places[0])
            part = np.asarray(image.dataobj[first : int(places[-1]) + 1, 0, 0, :])
            return part[places - first].T.astype(np.float32)

        yield Session(path, (image.shape[0],), image.shape[3], read)


def _check_type(found: np.dtype[Any], expected: np.dtype[Any], path: Path) -> None:
    if found != expected:
        unit = "percent signal change" + (" times 300" if expected.kind == "i" else "")
        raise DataError(
            f"betas are {found}, and NSD's {expected} ({unit})",
            where=str(path),
            fix="use the file as NSD distributes it: the scale of another one is not known",
        )


# Targets of a chunk: 750 trials of them are some 25 MB.
CHUNK = 8192
_PIECE_BYTES = 16 << 20


class Rows:
    """Rows of many targets, in one file a chunk of targets.

    Parameters
    ----------
    directory : str or Path
        For the files, which have no name and vanish when they are closed. Room for all of them is
        taken at once.
    rows : int
    sizes : sequence of int
        Targets of each part; a chunk never lies in two.
    chunk : int
        Targets a file, at most.

    Attributes
    ----------
    chunks : list of slice
        Targets of each file.
    part : list of int
        Which part they belong to.
    """

    def __init__(
        self, directory: str | Path, rows: int, sizes: Sequence[int], chunk: int = CHUNK
    ) -> None:
        self.rows, self.targets = rows, sum(sizes)
        self.chunks: list[slice] = []
        self.part: list[int] = []
        first = 0
        for part, size in enumerate(sizes):
            for start in range(first, first + size, chunk):
                self.chunks.append(slice(start, min(start + chunk, first + size)))
                self.part.append(part)
            first += size
        self.files = [
            RowFile(
                directory,
                (rows, part.stop - part.start),
                np.float32,
                of="sums of NSD's sessions",
                scratch=True,
            )
            for part in self.chunks
        ]

    def close(self) -> None:
        """Remove the files."""
        for file in self.files:
            file.close()

    def __del__(self) -> None:
        for file in getattr(self, "files", ()):
            file.close()

    def add(self, chunk: int, rows: NDArray[np.intp], values: NDArray[np.float32]) -> None:
        """Add values (trial, target of the chunk) to rows, several of which may be one."""
        file = self.files[chunk]
        unique, member = np.unique(rows, return_inverse=True)
        order = np.argsort(member, kind="stable")
        starts = np.searchsorted(member[order], np.arange(unique.size))
        sums = np.add.reduceat(values[order], starts, axis=0)
        edges = np.flatnonzero(np.diff(unique, prepend=-2, append=rows.max() + 2) != 1)
        before = [
            file.read(int(unique[first]), int(unique[stop - 1]) + 1)
            for first, stop in itertools.pairwise(edges)
        ]
        file.write(unique, sums + np.concatenate(before))

    def pieces(self, chunk: int) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Rows of a chunk of targets, some at a time."""
        file = self.files[chunk]
        step = max(1, _PIECE_BYTES // max(1, file.shape[1] * 4))
        for start in range(0, self.rows, step):
            stop = min(start + step, self.rows)
            yield slice(start, stop), file.read(start, stop)


class Means:
    """Mean over the trials of each image, an array (image, target) that stays on disk.

    Parameters
    ----------
    sums : Rows
        Taken over: closed with this.
    counts : ndarray of int, shape (row,)
        Trials in each row of the sums.
    rows : ndarray of int, shape (image,)
        Increasing rows that it has.
    kept : ndarray of bool, shape (target,)
        Targets that it has.
    """

    ndim = 2
    dtype = np.dtype(np.float32)

    def __init__(
        self,
        sums: Rows,
        counts: NDArray[np.intp],
        rows: NDArray[np.intp],
        kept: NDArray[np.bool_],
    ) -> None:
        self._sums, self._counts, self._rows, self._kept = sums, counts, rows, kept
        self.shape = (rows.size, int(kept.sum()))

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Images ``start`` to ``stop``."""
        rows = self._rows[start:stop]
        if not rows.size:
            return np.empty((0, self.shape[1]), dtype=self.dtype)
        first, last = int(rows[0]), int(rows[-1])
        parts = [
            file.read(first, last + 1)[rows - first][:, self._kept[chunk]]
            for file, chunk in zip(self._sums.files, self._sums.chunks, strict=True)
        ]
        values: NDArray[np.float32] = np.concatenate(parts, axis=1)
        values /= self._counts[rows, None].astype(np.float32)
        return values

    def pieces(self) -> Iterator[NDArray[np.float32]]:
        """All images, some at a time."""
        step = max(1, _PIECE_BYTES // max(1, self.shape[1] * self.dtype.itemsize))
        for start in range(0, self.shape[0], step):
            yield self.read(start, start + step)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[np.float32]:
        """All of it, in memory."""
        values = self.read(0, self.shape[0])
        return values if dtype is None else values.astype(dtype)  # type: ignore[call-overload]

    def close(self) -> None:
        """Remove the files; nothing can be read any more."""
        self._sums.close()


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
    noise: Doubles
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


def _noise(sums: Rows, squares: Doubles, counts: NDArray[np.intp], weights: Doubles) -> Doubles:
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
