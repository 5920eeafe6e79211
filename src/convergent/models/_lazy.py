"""State dictionaries that are opened, but read tensor by tensor."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import WeightsError
from convergent.models._headers import read_header

if TYPE_CHECKING:
    import torch

_DTYPES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
    "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "C64": "complex64",
    "U16": "uint16", "U32": "uint32", "U64": "uint64",
}  # fmt: skip


@dataclass(frozen=True)
class LazyTensor:
    """One tensor of a file, not read yet.

    Attributes
    ----------
    shape : tuple of int
    dtype : torch.dtype
    bytes : int
    read : callable
        ``read()``: the tensor, on the CPU.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    bytes: int
    read: Callable[[], torch.Tensor]

    def __getitem__(self, index: Any) -> torch.Tensor:
        """Read and index: loaders of transformers take tensors with ``[...]``."""
        return self.read()[index]

    def placeholder(self) -> torch.Tensor:
        """Tensor of this shape without data."""
        import torch

        return torch.empty(self.shape, dtype=self.dtype, device="meta")


class LazyState(Mapping[str, LazyTensor]):
    """A checkpoint's tensors by name, of one file or of several shards.

    Attributes
    ----------
    total : int
        Bytes of all tensors.
    taken : dict of str to int
        Bytes of each tensor that was read, by name.
    """

    def __init__(self, tensors: dict[str, LazyTensor]) -> None:
        self.taken: dict[str, int] = {}
        self._tensors = {name: self._counted(name, tensor) for name, tensor in tensors.items()}
        self.total = sum(tensor.bytes for tensor in tensors.values())

    def __getitem__(self, name: str) -> LazyTensor:
        return self._tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    @property
    def bytes_read(self) -> int:
        """Bytes of the tensors that were read."""
        return sum(self.taken.values())

    def read(self) -> dict[str, torch.Tensor]:
        """Read every tensor."""
        return {name: tensor.read() for name, tensor in self.items()}

    def _counted(self, name: str, tensor: LazyTensor) -> LazyTensor:
        def read() -> torch.Tensor:
            self.taken[name] = tensor.bytes
            return tensor.read()

        return LazyTensor(tensor.shape, tensor.dtype, tensor.bytes, read)


def open_state(paths: Sequence[Path], where: str) -> LazyState:
    """Open weight files: safetensors, or pickles of tensors only.

    Raises
    ------
    WeightsError
        If a file is damaged, holds anything but tensors (such a pickle could run code), or
        names a tensor that another shard has too.
    """
    tensors: dict[str, LazyTensor] = {}
    homes: dict[str, Path] = {}
    for path in paths:
        read = _open_safetensors if path.suffix == ".safetensors" else _open_pickle
        for name, tensor in read(path, where).items():
            if name in tensors:
                raise WeightsError(
                    f"tensor '{name}' is in '{homes[name].name}' and in '{path.name}'",
                    where=where,
                    fix="remove the files that do not belong to this checkpoint",
                )
            tensors[name], homes[name] = tensor, path
    return LazyState(tensors)


def _open_safetensors(path: Path, where: str) -> dict[str, LazyTensor]:
    import torch
    from safetensors import SafetensorError, safe_open

    stored = read_header(path, where)
    try:
        pointer = safe_open(path, framework="pt", device="cpu")
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"cannot read '{path.name}' ({type(error).__name__}: {error})",
            where=where,
            fix="fetch the file again",
        ) from error

    def reader(name: str) -> Callable[[], torch.Tensor]:
        def read() -> torch.Tensor:
            tensor: torch.Tensor = pointer.get_tensor(name)  # type: ignore[no-untyped-call]
            return tensor

        return read

    unknown = next((name for name, entry in stored.items() if entry.dtype not in _DTYPES), None)
    if unknown is not None:
        raise WeightsError(
            f"'{path.name}': tensor '{unknown}' has type {stored[unknown].dtype}",
            where=where,
            fix="use weights of an ordinary number type",
        )
    return {
        name: LazyTensor(
            entry.shape, getattr(torch, _DTYPES[entry.dtype]), entry.bytes, reader(name)
        )
        for name, entry in stored.items()
    }


def _open_pickle(path: Path, where: str) -> dict[str, LazyTensor]:
    def reader(tensor: torch.Tensor) -> Callable[[], torch.Tensor]:
        return lambda: tensor

    return {
        name: LazyTensor(tuple(tensor.shape), tensor.dtype, tensor.nbytes, reader(tensor))
        for name, tensor in _unpickle(path, where).items()
    }


def _unpickle(path: Path, where: str) -> dict[str, torch.Tensor]:
    import torch

    try:
        with path.open("rb") as stream:
            # A pickle in a zip file can be mapped into memory: pages are read when they are used.
            mapped = stream.read(4) == b"PK\x03\x04"
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"'{path.name}' holds more than tensors and was not opened",
            where=where,
            fix="convert the weights to safetensors in a place that you trust",
        ) from error
    except Exception as error:  # zip, tar and pickle readers each raise their own kinds
        raise WeightsError(
            f"cannot read '{path.name}' ({type(error).__name__}: {error})",
            where=where,
            fix="fetch the file again",
        ) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise WeightsError(
            f"'{path.name}' is not a state dictionary",
            where=where,
            fix="name the right file with file=<name> in the preprocessing column",
        )
    return state
