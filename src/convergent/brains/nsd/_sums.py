"""Sums over the trials of each image, on disk: a session's betas are all that memory holds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convergent.store import RowFile

# Targets of a chunk: 750 trials of them are some 25 MB.
CHUNK = 8192
_PIECE_BYTES = 16 << 20

Floats = NDArray[np.float64]


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
