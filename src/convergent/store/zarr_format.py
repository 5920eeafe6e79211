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


_TYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
          "float16", "float32", "float64"}  # fmt: skip
_CHUNK_BYTES = 16 << 20
# zarr's string types are still in motion: text is stored as the bytes of a JSON list
TEXT = ".json"


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
    group = _json({"zarr_format": 3, "node_type": "group", "attributes": attrs})
    members: Members = {"zarr.json": lambda: group}
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
        else:
            members |= _array(name, values, dims, {"dims": list(dims)})
    return members


def decode(
    names: Collection[str],
    read: Callable[[str], bytes],
    keep: Callable[[str, Layout], Any] | None = None,
    wanted: WantedArrays | None = None,
) -> tuple[dict[str, Any], dict[str, tuple[str, ...]], dict[str, Any]]:
    """Decode a group that `encode` wrote.

    Parameters
    ----------
    names : collection of str
        All members.
    read : callable
        Bytes of a member.
    keep : callable, optional
        ``keep(name, layout)`` stands in for reading an array where it returns something.
    wanted : callable, optional
        ``wanted(name, dims)`` says of an array whether it is needed.

    Returns
    -------
    arrays : dict of str to ndarray
    dims : dict of str to tuple of str
    attrs : dict

    Raises
    ------
    KeyError, ValueError
        A member is missing or is not what `encode` writes.
    """
    arrays: dict[str, Any] = {}
    dims: dict[str, tuple[str, ...]] = {}
    known = set(names)
    for member in names:
        name, slash, file = member.rpartition("/")
        if not slash or file != "zarr.json":
            continue
        meta = json.loads(read(member))
        own = meta["attributes"]
        label = name.removesuffix(TEXT) if own.get("strings") else name
        axes = tuple(own["dims"])
        if wanted is not None and not wanted(label, axes):
            continue
        layout = Layout.of(name, meta, known)
        if own.get("strings"):
            arrays[label] = decode_text(layout.all(read), own["shape"])
        else:
            kept = None if keep is None else keep(name, layout)
            arrays[label] = layout.all(read) if kept is None else kept
        dims[label] = axes
    return arrays, dims, json.loads(read("zarr.json"))["attributes"]


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
