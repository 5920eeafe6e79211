"""Arrays too large for memory: filled row by row, read a chunk or a block of targets at a time."""

from __future__ import annotations

import errno
import itertools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from convergent.errors import StoreError
from convergent.store.archive import Archive, named_errors, open_file
from convergent.store.zarr_format import Layout

_SCRATCH_FIX = (
    "make room there, name a larger disk (resources.scratch), or leave it out: temporary files "
    "then lie beside the results"
)


class RowFile:
    """An array on disk whose rows are written in any order, in a file without a name.

    The file is removed by the system when it is closed, however the process ends. It is written
    and read by position, not mapped: what has been written does not count as the process's memory.

    Parameters
    ----------
    directory : str or Path
        Where the file lies; made if it does not exist.
    shape : tuple of int
        (row, ...).
    dtype : dtype
    of : str
        What the rows are of, for messages.
    scratch : bool
        The directory is scratch, which several jobs of a node share: room for all rows is taken
        at once, so that a job that lacks it ends before it has computed.

    Raises
    ------
    StoreError
        The disk or quota is full, or the directory cannot be written.
    """

    def __init__(
        self,
        directory: str | Path,
        shape: tuple[int, ...],
        dtype: Any,
        *,
        of: str = "",
        scratch: bool = False,
    ) -> None:
        self.shape = tuple(shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._directory, self._of, self._scratch = str(directory), of, scratch
        self._row = int(np.prod(self.shape[1:], dtype=np.int64)) * self.dtype.itemsize
        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=directory, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise self._failed(error) from error
        if scratch:
            try:
                self._take_room()
            except BaseException:
                self.close()
                raise

    def __enter__(self) -> RowFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the file."""
        self._file.close()

    def write(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Write rows.

        Parameters
        ----------
        rows : ndarray of int, shape (item,)
            In any order.
        values : ndarray, shape (item, ...)

        Raises
        ------
        StoreError
            The disk or quota is full.
        """
        if values.shape != (len(rows), *self.shape[1:]):
            raise ValueError(f"values {values.shape} for {len(rows)} rows of {self.shape}")
        if not values.size:
            return
        order = np.argsort(rows, kind="stable")
        rows, values = np.asarray(rows)[order], values[order].astype(self.dtype, copy=False)
        values = np.ascontiguousarray(values)
        # neighbours go together: images arrive in order, and a call a batch is enough
        edges = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
        try:
            for first, stop in itertools.pairwise(edges):
                self._write_at(memoryview(values[first:stop].data).cast("B"), int(rows[first]))
        except OSError as error:
            raise self._failed(error) from error

    def _write_at(self, data: memoryview, row: int) -> None:
        place = row * self._row
        while data:
            done = os.pwrite(self._file.fileno(), data, place)
            data, place = data[done:], place + done

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop``; those never written are 0."""
        stop = min(stop, self.shape[0])
        wanted, place = (stop - start) * self._row, start * self._row
        parts: list[bytes] = []
        while wanted:
            part = self._read_at(wanted, place)
            if not part:  # past the last row that was written
                parts.append(bytes(wanted))
                break
            parts.append(part)
            wanted, place = wanted - len(part), place + len(part)
        return np.frombuffer(b"".join(parts), dtype=self.dtype).reshape(-1, *self.shape[1:])

    def _read_at(self, wanted: int, place: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), wanted, place)
        except OSError as error:
            raise self._failed(error) from error

    def _take_room(self) -> None:
        size = self._row * self.shape[0]
        require_room(self._directory, size, self._of)
        try:
            if size:
                os.posix_fallocate(self._file.fileno(), 0, size)
        except OSError as error:
            # some file systems cannot; the file then grows as it is written
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise self._failed(error) from error

    def _failed(self, error: OSError) -> StoreError:
        results = "check free space, quota and permissions of the results directory"
        return StoreError(
            f"rows can't be kept in {self._directory}: {error.strerror or error}",
            where=self._of or None,
            fix=_SCRATCH_FIX if self._scratch else results,
        )


def require_room(directory: str | Path, size: int, of: str = "") -> None:
    """Refuse a scratch folder that has no room for so many bytes.

    Parameters
    ----------
    directory : str or Path
    size : int
        Bytes.
    of : str
        What needs them, for the message.

    Raises
    ------
    StoreError
    """
    facts = os.statvfs(directory)
    free = facts.f_bavail * facts.f_frsize
    if free < size:
        raise StoreError(
            f"the rows need {size / 1e6:,.3f} MB, and {directory} has {free / 1e6:,.3f} MB free",
            where=of or None,
            fix=_SCRATCH_FIX,
        )


class StoredArray:
    """An array of a store that is read from disk when its rows are asked for.

    It has the length, shape, type and row indexing of an ndarray. Each chunk is checked
    (CRC-32) whenever it is read; the last one read is kept.

    Parameters
    ----------
    path : str or Path
        The store.
    name : str
        For messages.
    layout : Layout
    """

    def __init__(self, path: str | Path, name: str, layout: Layout) -> None:
        self.path, self.layout = Path(path), layout
        self._name = name
        self.shape, self.dtype, self.ndim = layout.shape, layout.dtype, len(layout.shape)
        self._archive: Archive | None = None
        self._kept: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __getitem__(self, key: int | slice | np.ndarray) -> np.ndarray:
        """One row, a slice of rows, or rows by position."""
        if isinstance(key, int | np.integer):
            if not -len(self) <= key < len(self):
                raise IndexError(f"row {key} of {len(self)}")
            picked: np.ndarray = self._rows(np.array([key % len(self)]))[0]
            return picked
        index = np.arange(len(self))[key]
        return self._rows(index)

    def __iter__(self) -> Iterator[np.ndarray]:
        for piece in self.pieces():
            yield from piece

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All rows, in memory."""
        values = self[:]
        return values if dtype is None else values.astype(dtype)

    def pieces(self) -> Iterator[np.ndarray]:
        """All rows, a chunk at a time."""
        for number in range(len(self.layout.members)):
            yield self._chunk(number)

    def _rows(self, index: np.ndarray) -> np.ndarray:
        values = np.empty((len(index), *self.shape[1:]), dtype=self.dtype)
        chunk = index // self.layout.rows
        for number in np.unique(chunk):
            here = chunk == number
            values[here] = self._chunk(int(number))[index[here] - number * self.layout.rows]
        return values

    def _chunk(self, number: int) -> np.ndarray:
        if self._kept is None or self._kept[0] != number:
            self._kept = None  # before the next one is read, so that there is only one
            with named_errors(f"array '{self._name}' ({self.path})"):
                if self._archive is None:
                    self._archive = Archive(self.path)
                self._kept = number, self.layout.chunk(number, self._archive.read)
        return self._kept[1]


# Neighbouring blocks of columns are read together, as so many bytes at most.
_HELD_BYTES = 256 << 20


class TargetBlocks:
    """Rows of a stored array (row, target), sliced by targets.

    The members of a store are not compressed, so that a block of targets is read without the
    others. What is read that way is not checked by CRC-32: read the array's ``pieces()`` once
    before, as `Responses` does.

    Parameters
    ----------
    stored : StoredArray, shape (row, target)
    rows : ndarray of int, shape (sample,)
        Which rows, in which order.

    Raises
    ------
    StoreError
        The store is damaged.
    """

    def __init__(self, stored: StoredArray, rows: np.ndarray) -> None:
        self.shape = (len(rows), stored.shape[1])
        self.dtype, self.ndim = stored.dtype, 2
        self._path, self._rows, self._targets = stored.path, np.asarray(rows), stored.shape[1]
        self._count, self._per_member = stored.shape[0], stored.layout.rows
        with named_errors(str(stored.path)), Archive(stored.path) as archive:
            self._starts = [archive.start(name) for name in stored.layout.members]
        self._held: tuple[int, np.ndarray] | None = None

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        """``[:, start:stop]``."""
        if not (isinstance(key, tuple) and len(key) == 2 and key[0] == slice(None)):
            raise TypeError("targets are read as [:, start:stop]")
        start, stop, step = key[1].indices(self._targets)
        if step != 1:
            raise TypeError("targets are read as [:, start:stop]")
        first, block = self._block(start, max(start, stop))
        return np.ascontiguousarray(block[:, start - first : max(start, stop) - first])

    def _block(self, start: int, stop: int) -> tuple[int, np.ndarray]:
        """Targets that hold the wanted ones, and the first of them."""
        held = self._held
        if held is not None and held[0] <= start and stop <= held[0] + held[1].shape[1]:
            return held
        self._held = None
        row = max(len(self._rows), 1) * self.dtype.itemsize
        wide = min(self._targets, max(stop, start + _HELD_BYTES // row))
        self._held = start, self._read(start, wide)
        return self._held

    def _read(self, start: int, stop: int) -> np.ndarray:
        size, wanted = self.dtype.itemsize, (stop - start) * self.dtype.itemsize
        values = np.empty((len(self._rows), stop - start), dtype=self.dtype.newbyteorder("<"))
        with named_errors(str(self._path)), open_file(self._path) as file:
            for place, row in enumerate(self._rows.tolist()):
                member, inside = divmod(row, self._per_member)
                offset = self._starts[member] + (inside * self._targets + start) * size
                data = os.pread(file.fileno(), wanted, offset)
                if len(data) != wanted:
                    raise EOFError("it is shorter than when it was opened")
                values[place] = np.frombuffer(data, dtype=values.dtype)
        return values.astype(self.dtype, copy=False)


def rows_of(values: np.ndarray | StoredArray, rows: np.ndarray) -> Any:
    """Rows of responses: in memory, or as `TargetBlocks` where they lie on disk."""
    return TargetBlocks(values, rows) if isinstance(values, StoredArray) else values[rows]
