"""Headers of safetensors files and indices of shards: checked without reading a tensor."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convergent.errors import WeightsError

_LENGTH = 8  # bytes of the number that says how long the header is
_LONGEST = 100_000_000  # the format's own limit
_AGAIN = "fetch the file again, then run the weights step again"


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor of a safetensors file.

    Attributes
    ----------
    dtype : str
        As the format writes it: ``F32``, ``BF16``.
    shape : tuple of int
    bytes : int
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int


def read_header(path: Path, where: str) -> dict[str, Stored]:
    """Read which tensors a safetensors file holds, and check that the file is whole.

    Returns
    -------
    dict of str to Stored
        By tensor name, in the order of the data.

    Raises
    ------
    WeightsError
        If the header is damaged, or the file is shorter or longer than the header says.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(_LENGTH))
            if length > min(_LONGEST, size - _LENGTH):
                raise ValueError("it ends inside its header")
            content: dict[str, Any] = json.loads(stream.read(length))
        content.pop("__metadata__", None)
        entries = sorted(content.items(), key=lambda item: item[1]["data_offsets"])
        end = 0
        for _, entry in entries:
            start, stop = entry["data_offsets"]
            if start != end or stop < start:
                raise ValueError("its tensors overlap or leave gaps")
            end = stop
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise WeightsError(
            f"cannot read '{path.name}': damaged safetensors header ({error})",
            where=where,
            fix=_AGAIN,
        ) from error
    described = _LENGTH + length + end
    if size != described:
        raise WeightsError(
            f"'{path.name}' is damaged: {size} bytes, its header describes {described}",
            where=where,
            fix=_AGAIN,
        )
    return {
        name: Stored(
            str(entry["dtype"]),
            tuple(int(side) for side in entry["shape"]),
            entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in entries
    }


def check_index(directory: Path, weight_files: tuple[str, ...], where: str) -> None:
    """Check a sharded checkpoint against its index, if it has one.

    Raises
    ------
    WeightsError
        If the index is damaged, or names a shard that is not there.
    """
    if len(weight_files) < 2:
        return
    stem, suffix = weight_files[0].split("-0", 1)[0], Path(weight_files[0]).suffix
    path = directory / f"{stem}{suffix}.index.json"
    if not path.is_file():
        return
    try:
        named = set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(
            f"cannot read '{path.name}' ({type(error).__name__}: {error})", where=where, fix=_AGAIN
        ) from error
    missing = sorted(map(str, named - set(weight_files)))
    if missing:
        raise WeightsError(
            f"'{path.name}' names '{missing[0]}', which is not there"
            + (f" ({len(missing)} files missing)" if len(missing) > 1 else ""),
            where=where,
            fix="fetch the missing files, then run the weights step again",
        )
