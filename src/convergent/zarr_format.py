"""Zarr groups of plain arrays, in memory: member name to bytes, and back.

What is written here is the part of the zarr 3 specification that result stores use: one group,
arrays in C order, little-endian, uncompressed (dense activations do not compress), every chunk
present. The zarr library reads it, but needs four to six times as long (``benchmarks/store.py``):
with some twenty small arrays a store that is most of a small fit, and of gathering many.

References
----------
Zarr core specification, version 3.0: https://zarr-specs.readthedocs.io
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convergent.errors import StoreError

_TYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
          "float16", "float32", "float64"}  # fmt: skip
_CHUNK_BYTES = 16 << 20
# zarr's string types are still in motion: text is stored as the bytes of a JSON list
TEXT = ".json"

Arrays = Mapping[str, tuple[tuple[str, ...], np.ndarray]]


def encode(arrays: Arrays, attrs: Mapping[str, Any]) -> dict[str, bytes]:
    """Encode a group.

    Parameters
    ----------
    arrays : mapping of str to (dims, array)
    attrs : mapping
        JSON-serialisable.

    Returns
    -------
    dict of str to bytes

    Raises
    ------
    StoreError
        An array's axes are not its axis names, or it has a type without a zarr equivalent.
    """
    members = {"zarr.json": _json({"zarr_format": 3, "node_type": "group", "attributes": attrs})}
    for name, (dims, values) in arrays.items():
        if values.ndim != len(dims):
            raise StoreError(f"array '{name}' has {values.ndim} axes and {len(dims)} axis names")
        if values.dtype.kind in "OUT":
            text = json.dumps([str(item) for item in values.ravel()]).encode()
            meta = {"dims": list(dims), "shape": list(values.shape), "strings": True}
            flat = np.frombuffer(text, dtype=np.uint8)
            members |= _array(name + TEXT, flat, (name + "_bytes",), meta)
        else:
            members |= _array(name, values, dims, {"dims": list(dims)})
    return members


def decode(
    members: Mapping[str, bytes],
) -> tuple[dict[str, np.ndarray], dict[str, tuple[str, ...]], dict[str, Any]]:
    """Decode a group that `encode` wrote.

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
    arrays: dict[str, np.ndarray] = {}
    dims: dict[str, tuple[str, ...]] = {}
    for member in members:
        name, slash, file = member.rpartition("/")
        if not slash or file != "zarr.json":
            continue
        meta = json.loads(members[member])
        values = _read(name, meta, members)
        own = meta["attributes"]
        if own.get("strings"):
            name = name.removesuffix(TEXT)
            values = decode_text(values, own["shape"])
        arrays[name] = values
        dims[name] = tuple(own["dims"])
    return arrays, dims, json.loads(members["zarr.json"])["attributes"]


def decode_text(values: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Strings from the bytes of a JSON list."""
    return np.array(json.loads(values.tobytes()), dtype=np.str_).reshape(shape)


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, default=str, indent=1).encode()


def _codecs(dtype: np.dtype[Any]) -> list[dict[str, Any]]:
    endian = {"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {}
    return [{"name": "bytes", **endian}]


def _array(
    name: str, values: np.ndarray, dims: tuple[str, ...], attributes: Mapping[str, Any]
) -> dict[str, bytes]:
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
        "codecs": _codecs(values.dtype),
        "dimension_names": list(dims),
        "storage_transformers": [],
        "attributes": attributes,
    }
    members = {f"{name}/zarr.json": _json(meta)}
    little = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
    for first, key in _rows(name, values.shape, chunk):
        block = little if not chunk else little[first : first + chunk[0]]
        data = block.tobytes()
        if chunk and len(block) < chunk[0]:  # every chunk of a regular grid has the full size
            data += bytes((chunk[0] - len(block)) * (len(data) // len(block)))
        members[key] = data
    return members


def _chunk(values: np.ndarray) -> tuple[int, ...]:
    """Blocks of rows of about 16 MiB."""
    if values.ndim == 0 or values.size == 0:
        return tuple(max(size, 1) for size in values.shape)
    rows = max(1, min(values.shape[0], _CHUNK_BYTES // max(values[:1].nbytes, 1)))
    return (rows, *values.shape[1:])


def _rows(name: str, shape: tuple[int, ...], chunk: tuple[int, ...]) -> list[tuple[int, str]]:
    """First row and member name of each chunk; only the first axis is divided."""
    if 0 in shape:
        return []
    if not shape:
        return [(0, f"{name}/c")]
    rest = "/0" * (len(shape) - 1)
    starts = range(0, shape[0], chunk[0])
    return [(first, f"{name}/c/{i}{rest}") for i, first in zip(itertools.count(), starts)]


def _read(name: str, meta: Mapping[str, Any], members: Mapping[str, bytes]) -> np.ndarray:
    dtype = np.dtype(meta["data_type"]).newbyteorder("<")
    shape = tuple(meta["shape"])
    chunk = tuple(meta["chunk_grid"]["configuration"]["chunk_shape"])
    if meta["codecs"] != _codecs(dtype) or chunk[1:] != shape[1:]:
        raise ValueError(f"array '{name}' is not in the layout of this version")
    places = _rows(name, shape, chunk)
    # an absent chunk is damage: zarr would give the fill value, a zero that nobody measured
    present = [key for _, key in places if key in members]
    if len(present) != len(places):
        raise ValueError(f"array '{name}' has {len(present)} of {len(places)} chunks")
    flat = np.frombuffer(b"".join(members[key] for key in present), dtype=dtype)
    size = int(np.prod(shape))
    if places and flat.size != len(places) * int(np.prod(chunk)):
        raise ValueError(f"array '{name}' has chunks of the wrong size")
    return flat[:size].reshape(shape).astype(dtype.newbyteorder("="))
