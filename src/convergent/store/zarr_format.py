"""Where the values of a zarr array lie: chunks of rows, named as members of a group."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from convergent.errors import StoreError


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
    def of(cls, name: str, listed: Mapping[str, Any], known: Collection[str]) -> Layout:
        """Read an array's entry in the group's list of arrays.

        Raises
        ------
        ValueError
            A chunk is absent: zarr would give the fill value, a zero that nobody measured.
        """
        shape, rows = tuple(listed["shape"]), int(listed["rows"])
        chunk = (rows, *shape[1:]) if shape else ()
        count = -(-shape[0] // rows) if shape else 1
        members: tuple[str, ...] = ()
        if count <= len(known):  # of an absurd size no names are made
            members = tuple(key for _, key in chunk_rows(name, shape, chunk))
        present = sum(key in known for key in members)
        if present < (0 if 0 in shape else count):
            raise ValueError(f"array '{name}' has {present} of {count} chunks")
        return cls(shape, np.dtype(listed["dtype"]), rows, members)

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


_TYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
          "float16", "float32", "float64"}  # fmt: skip
_CHUNK_BYTES = 16 << 20
# zarr's string types are still in motion: text is stored as the bytes of a JSON list
TEXT = ".json"
# The attribute of a group that lists its arrays: an array that was lost is missed.
LISTED = "arrays"


class Blocks(Protocol):
    """An array that is read a few rows at a time, such as one on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows ``start`` to ``stop``."""


Arrays = Mapping[str, tuple[tuple[str, ...], np.ndarray]]
Writable = Mapping[str, tuple[tuple[str, ...], "np.ndarray | Blocks"]]
Members = dict[str, Callable[[], bytes]]
WantedArrays = Callable[[str, tuple[str, ...]], bool]


def encode(arrays: Writable, attrs: Mapping[str, Any]) -> Members:
    """Encode a group.

    Parameters
    ----------
    arrays : mapping of str to (dims, array)
        Numbers may also be `Blocks`, which never are in memory as a whole.
    attrs : mapping
        JSON-serialisable.

    Returns
    -------
    dict of str to callable
        By name, what makes a member's bytes, one chunk at most.

    Raises
    ------
    StoreError
        An array's axes are not its axis names, or it has a type without a zarr equivalent.
    """
    members: Members = {}
    listed: dict[str, Any] = {}
    for name, (dims, values) in arrays.items():
        if len(values.shape) != len(dims):
            raise StoreError(
                f"array '{name}' has {len(values.shape)} axes and {len(dims)} axis names"
            )
        if isinstance(values, np.ndarray) and values.dtype.kind in "OUT":
            text = json.dumps([str(item) for item in values.ravel()]).encode()
            meta = {"dims": list(dims), "shape": list(values.shape), "strings": True}
            flat = np.frombuffer(text, dtype=np.uint8)
            members |= _array(name + TEXT, flat, (name + "_bytes",), meta)
            listed[name + TEXT] = _entry(flat) | {"dims": list(dims), "text": list(values.shape)}
        else:
            members |= _array(name, values, dims, {"dims": list(dims)})
            listed[name] = _entry(values) | {"dims": list(dims)}
    group = _json({"zarr_format": 3, "node_type": "group", "attributes": {**attrs, LISTED: listed}})
    return {"zarr.json": lambda: group, **members}


def _entry(values: np.ndarray | Blocks) -> dict[str, Any]:
    """What a reader must know of an array: its layout needs no other member then."""
    chunk = _chunk(values)
    kind = values.dtype.newbyteorder("=").name
    return {"shape": list(values.shape), "dtype": kind, "rows": chunk[0] if chunk else 1}


def decode_group(
    names: Collection[str], read: Callable[[str], bytes]
) -> tuple[dict[str, Any], dict[str, tuple[tuple[str, ...], Layout, tuple[int, ...] | None]]]:
    """Read what a group says of itself and of its arrays; no array is read.

    Parameters
    ----------
    names : collection of str
        All members.
    read : callable
        Bytes of a member.

    Returns
    -------
    attrs : dict
    arrays : dict of str to (dims, layout, text)
        By the name in the group; ``text`` is the shape of an array of strings.

    Raises
    ------
    KeyError, ValueError
        A member is missing, or is none that `encode` writes.
    """
    group = json.loads(read("zarr.json"))
    attrs, known = group["attributes"], set(names)
    if LISTED not in attrs:
        raise ValueError("it has no list of its arrays: another version wrote it")
    arrays = {}
    expected = {"zarr.json"}
    for name, listed in attrs.pop(LISTED).items():
        layout = Layout.of(name, listed, known)
        text = tuple(listed["text"]) if "text" in listed else None
        arrays[name] = tuple(listed["dims"]), layout, text
        expected.update((f"{name}/zarr.json", *layout.members))
    for wrong, what in ((expected - known, "is missing"), (known - expected, "is unknown")):
        if wrong:
            raise ValueError(f"member '{min(wrong)}' {what}")
    return attrs, arrays


def decode_text(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Strings from the bytes of a JSON list."""
    return np.array(json.loads(values.tobytes()), dtype=np.str_).reshape(shape)


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, default=str, indent=1).encode()


def _array(
    name: str, values: np.ndarray | Blocks, dims: tuple[str, ...], attributes: Mapping[str, Any]
) -> Members:
    kind = values.dtype.newbyteorder("=").name
    if kind not in _TYPES:
        raise StoreError(f"array '{name}' has the type {values.dtype}, which stores cannot hold")
    chunk = _chunk(values)
    meta = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(values.shape),
        "data_type": kind,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": False if kind == "bool" else 0,
        "codecs": codecs(values.dtype),
        "dimension_names": list(dims),
        "storage_transformers": [],
        "attributes": attributes,
    }
    described = _json(meta)
    members: Members = {f"{name}/zarr.json": lambda: described}
    for first, key in chunk_rows(name, values.shape, chunk):
        members[key] = partial(_chunk_bytes, values, first, chunk)
    return members


def _chunk_bytes(values: np.ndarray | Blocks, first: int, chunk: tuple[int, ...]) -> bytes:
    if not chunk:
        block = np.asarray(values)
    elif isinstance(values, np.ndarray):
        block = values[first : first + chunk[0]]
    else:
        block = values.read(first, min(first + chunk[0], values.shape[0]))
    data = np.ascontiguousarray(block, dtype=values.dtype.newbyteorder("<")).tobytes()
    if chunk and len(block) < chunk[0]:  # every chunk of a regular grid has the full size
        data += bytes((chunk[0] - len(block)) * (len(data) // len(block)))
    return data


def _chunk(values: np.ndarray | Blocks) -> tuple[int, ...]:
    """Blocks of rows of about 16 MiB."""
    shape = values.shape
    if not shape or 0 in shape:
        return tuple(max(size, 1) for size in shape)
    row = math.prod(shape[1:]) * values.dtype.itemsize
    return (max(1, min(shape[0], _CHUNK_BYTES // max(row, 1))), *shape[1:])
