"""Where the values of a zarr array lie: chunks of rows, named as members of a group."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


def codecs(dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    """How bytes become values: as they lie, little-endian."""
    endian = {"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {}
    return [{"name": "bytes", **endian}]


def chunk_rows(name: str, shape: tuple[int, ...], chunk: tuple[int, ...]) -> list[tuple[int, str]]:
    """First row and member name of each chunk; only the first axis is divided."""
    if 0 in shape:
        return []
    if not shape:
        return [(0, f"{name}/c")]
    rest = "/0" * (len(shape) - 1)
    starts = range(0, shape[0], chunk[0])
    return [(first, f"{name}/c/{i}{rest}") for i, first in zip(itertools.count(), starts)]


@dataclass(frozen=True)
class Layout:
    """Where an array's values lie among the members of a group.

    Attributes
    ----------
    shape : tuple of int
    dtype : dtype
        In the machine's byte order.
    rows : int
        Rows a chunk; 1 for an array without axes.
    members : tuple of str
        The chunks, in order.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    rows: int
    members: tuple[str, ...]

    @classmethod
    def of(cls, name: str, meta: Mapping[str, Any], known: Collection[str]) -> Layout:
        """Read an array's description.

        Raises
        ------
        ValueError
            Not of this version, or a chunk is absent: zarr would give the fill value, a zero
            that nobody measured.
        """
        dtype = np.dtype(meta["data_type"])
        shape = tuple(meta["shape"])
        chunk = tuple(meta["chunk_grid"]["configuration"]["chunk_shape"])
        if meta["codecs"] != codecs(dtype) or chunk[1:] != shape[1:]:
            raise ValueError(f"array '{name}' is not in the layout of this version")
        members = tuple(key for _, key in chunk_rows(name, shape, chunk))
        present = sum(key in known for key in members)
        if present != len(members):
            raise ValueError(f"array '{name}' has {present} of {len(members)} chunks")
        return cls(shape, dtype, chunk[0] if chunk else 1, members)

    def chunk(self, index: int, read: Callable[[str], bytes]) -> np.ndarray:
        """Rows of one chunk, without what fills up the last one.

        Raises
        ------
        ValueError
            It has another size than described.
        """
        flat = np.frombuffer(read(self.members[index]), dtype=self.dtype.newbyteorder("<"))
        rest = self.shape[1:]
        if flat.size != self.rows * math.prod(rest):
            raise ValueError(f"chunk '{self.members[index]}' has the wrong size")
        rows = flat.reshape(self.rows, *rest) if self.shape else flat.reshape(())
        kept = rows[: self.shape[0] - index * self.rows] if self.shape else rows
        return kept.astype(self.dtype, copy=False)

    def all(self, read: Callable[[str], bytes]) -> np.ndarray:
        """The whole array, in memory of its own."""
        values = np.empty(self.shape, dtype=self.dtype)
        for index in range(len(self.members)):
            if not self.shape:
                values[...] = self.chunk(index, read)
            else:
                start = index * self.rows
                values[start : start + self.rows] = self.chunk(index, read)
        return values
