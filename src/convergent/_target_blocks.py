"""Columns of a stored array that is too large for memory, read a block at a time."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from convergent._on_disk import StoredArray
from convergent.errors import StoreError

# Neighbouring blocks of columns are read together, as so many bytes at most.
_HELD_BYTES = 256 << 20
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a zip member: lengths of its name and extra field


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
        self._starts = _member_starts(stored.path, stored.layout.members)
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
        with Path(self._path).open("rb") as file:
            for place, row in enumerate(self._rows.tolist()):
                member, inside = divmod(row, self._per_member)
                offset = self._starts[member] + (inside * self._targets + start) * size
                data = os.pread(file.fileno(), wanted, offset)
                if len(data) != wanted:
                    raise _damaged(self._path, "it is shorter than when it was opened")
                values[place] = np.frombuffer(data, dtype=values.dtype)
        return values.astype(self.dtype, copy=False)


def rows_of(values: np.ndarray | StoredArray, rows: np.ndarray) -> Any:
    """Rows of responses: in memory, or as `TargetBlocks` where they lie on disk."""
    return TargetBlocks(values, rows) if isinstance(values, StoredArray) else values[rows]


def _member_starts(path: Path, members: tuple[str, ...]) -> list[int]:
    """Where the values of each member begin in the file."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            starts = []
            for name in members:
                info = archive.getinfo(name)
                if info.compress_type != zipfile.ZIP_STORED:
                    raise _damaged(path, f"member '{name}' is compressed")
                header = os.pread(file.fileno(), 30, info.header_offset)
                starts.append(info.header_offset + 30 + sum(_LOCAL_HEADER.unpack(header)))
            return starts
    except (zipfile.BadZipFile, OSError, KeyError, struct.error) as error:
        raise _damaged(path, str(error)) from None


def _damaged(path: Path, how: str) -> StoreError:
    return StoreError(
        f"the store is damaged ({how})", where=str(path), fix="delete the file and rerun its rule"
    )
