"""Read state dictionaries safely, and copy them into modules strictly."""

from __future__ import annotations

import itertools
import logging
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from convergent.errors import ConvergentError, WeightsError
from convergent.models.manifest import read_header
from convergent.models.place import drop_data, sketch, uninitialised
from convergent.names import layer_place

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


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


State = dict[str, "torch.Tensor"]


class Shaped(Protocol):
    """Anything with a shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...


def read_state(path: Path, where: str) -> State:
    """Read a state dictionary from safetensors, or from a pickle of tensors only.

    Raises
    ------
    WeightsError
        If the file is damaged or holds anything but tensors: such a pickle could run code.
    """
    return open_state([path], where).read()


def check_names(own: Mapping[str, Shaped], given: Mapping[str, Shaped], where: str) -> None:
    """Check that two sets of tensors have the same names and shapes.

    Raises
    ------
    WeightsError
        Naming the first missing, unexpected or misshapen parameter.
    """
    missing, unexpected = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or unexpected:
        raise WeightsError(
            f"{len(missing)} parameters missing (first: {missing[:1]}), "
            f"{len(unexpected)} unexpected (first: {unexpected[:1]})",
            where=where,
            fix="check the architecture column, or options such as num_classes",
        )
    for name, value in own.items():
        _check_shape(name, tuple(given[name].shape), name, tuple(value.shape), where)


def load_by_name(module: torch.nn.Module, state: State, where: str) -> None:
    """Copy weights by parameter name; every name must match.

    Raises
    ------
    WeightsError
        Naming the first missing, unexpected or misshapen parameter.
    """
    check_names(module.state_dict(), state, where)
    module.load_state_dict(state, strict=True)


def load_in_order(module: torch.nn.Module, state: State, where: str) -> None:
    """Copy weights by position: for the same network under other parameter names.

    Batch counters of normalisation layers are left out on both sides. Number and shape of
    all other tensors must agree, one by one.

    Raises
    ------
    WeightsError
        If they do not.
    """
    own = _without_counters(module.state_dict())
    given = _without_counters(state)
    if len(own) != len(given):
        raise WeightsError(
            f"{len(given)} tensors in the file, {len(own)} in the architecture",
            where=where,
            fix="check the architecture column, or options such as num_classes",
        )
    renamed: State = {}
    for (theirs, value), (ours, target) in zip(given.items(), own.items(), strict=True):
        _check_shape(theirs, tuple(value.shape), ours, tuple(target.shape), where)
        renamed[ours] = value
    module.load_state_dict(renamed, strict=False)


def _without_counters(state: State) -> State:
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def _check_shape(
    theirs: str, given: tuple[int, ...], ours: str, wanted: tuple[int, ...], where: str
) -> None:
    if given != wanted:
        raise WeightsError(
            f"'{theirs}' has shape {given}, '{ours}' needs {wanted}",
            where=where,
            fix="check the architecture column, or options such as num_classes",
        )


def needed(
    module: torch.nn.Module, run: Callable[[], Any], layers: Sequence[str]
) -> frozenset[str] | str:
    """Names of the tensors that a pass touches until the last of some layers has run.

    Parameters
    ----------
    module : torch.nn.Module
        On the meta device: no number is computed.
    run : callable
        Starts the pass.
    layers : sequence of str
        Module paths, with the run where there are several.

    Returns
    -------
    frozenset of str or str
        Names as in ``state_dict()``, or why they cannot be found: the pass depends on the
        inputs' values, or a layer does not exist, does not run, or runs more than once and the
        run is not chosen. The pass goes on to its end, so that a later run is seen.

    Notes
    -----
    Needed is every parameter and buffer that an operation takes, and all that belong directly
    to a module that was entered. A wrong guess cannot give a wrong number: a pass that meets
    a tensor without data stops with an error.
    """
    modules = dict(module.named_modules(remove_duplicate=False))
    missing = [name for name in layers if layer_place(name)[0] not in modules]
    if missing:
        return f"there is no module '{missing[0]}'"
    touched: set[int] = set()
    waiting = set(layers)
    again: set[str] = set()
    try:
        with _recorded(modules, touched, waiting, again):
            run()
    # A pass without data fails in as many ways as there are networks.
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return f"the pass needs data ({type(error).__name__}: {first[:80]})"
    if waiting:
        return f"module '{min(waiting)}' did not run"
    if again:
        return f"module '{min(again)}' runs more than once"
    return frozenset(
        f"{path}.{name}" if path else name
        for path, part in modules.items()
        for name, tensor in _own(part)
        if id(tensor) in touched
    )


def prune(module: torch.nn.Module, kept: frozenset[str]) -> list[str]:
    """Replace every part of a network that holds only tensors nobody needs.

    Returns
    -------
    list of str
        Paths of the replaced modules.
    """
    from torch import nn

    class NotLoaded(nn.Module):
        """Stands for a part whose weights were left in the file."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

        def forward(self, *arguments: Any, **named: Any) -> Any:
            raise RuntimeError(f"module '{self.path}' was left out: its weights are not needed")

    wanted = {id(tensor) for name, tensor in _named(module) if name in kept}
    replaced: list[str] = []

    def visit(part: nn.Module, path: str) -> None:
        for name, child in list(part.named_children()):
            below = f"{path}.{name}" if path else name
            tensors = [id(tensor) for _, tensor in _named(child)]
            if tensors and not wanted.intersection(tensors):
                setattr(part, name, NotLoaded(below))
                replaced.append(below)
            else:
                visit(child, below)

    visit(module, "")
    return replaced


def _own(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for place in (module._parameters, module._buffers):
        yield from ((name, value) for name, value in place.items() if value is not None)


def _named(module: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


@contextmanager
def _recorded(
    modules: dict[str, torch.nn.Module], touched: set[int], waiting: set[str], again: set[str]
) -> Iterator[None]:
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_iter

    class Recorder(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            if waiting:
                touched.update(
                    id(value)
                    for value in tree_iter((arguments, named))
                    if isinstance(value, torch.Tensor)
                )
            return function(*arguments, **(named or {}))

    def entered(part: torch.nn.Module, _arguments: Any) -> None:
        if waiting:
            touched.update(id(tensor) for _, tensor in _own(part))

    def left(names: list[str]) -> Callable[..., None]:
        runs = itertools.count()

        def hook(*_: Any) -> None:
            run = next(runs)
            chosen = {name: layer_place(name)[1] for name in names}
            waiting.difference_update(name for name in names if (chosen[name] or 0) == run)
            if run:
                again.update(name for name in names if chosen[name] is None)

        return hook

    names_of: dict[torch.nn.Module, list[str]] = {}
    for name in sorted(waiting):
        names_of.setdefault(modules[layer_place(name)[0]], []).append(name)
    handles: list[Any] = [
        part.register_forward_pre_hook(entered) for part in dict.fromkeys(modules.values())
    ]
    handles += [part.register_forward_hook(left(names)) for part, names in names_of.items()]
    try:
        with torch.inference_mode(), Recorder():
            yield
    finally:
        for handle in handles:
            handle.remove()


Convert = Callable[["torch.nn.Module", dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of a checkpoint was read.

    Attributes
    ----------
    bytes : int
        Of tensors that were read.
    total : int
        Of all tensors of the files; 0 for random weights.
    whole : str
        Why everything was read although layers were named; empty otherwise.
    """

    bytes: int = 0
    total: int = 0
    whole: str = ""

    def tell(self, where: str) -> None:
        """Write to the log."""
        log.info(
            "%s: %.1f of %.1f MB of weights read%s",
            where,
            self.bytes / 1e6,
            self.total / 1e6,
            f" (whole: {self.whole})" if self.whole else "",
        )


def fill(
    make: Callable[[], torch.nn.Module],
    state: LazyState,
    convert: Convert,
    run: Callable[[torch.nn.Module, str], Any],
    layers: Sequence[str] | None,
    where: str,
) -> tuple[torch.nn.Module, Reading]:
    """Build a network and read its weights by name, those that ``layers`` need or all.

    Parameters
    ----------
    make : callable
        Builds the network.
    state : LazyState
    convert : callable
        ``convert(module, state)``: the state under the module's own names.
    run : callable
        ``run(module, device)``: a forward pass on inputs made there.
    layers : sequence of str or None
    where : str

    Returns
    -------
    module : torch.nn.Module
        Parameters that were not read are on the meta device.
    reading : Reading
    """
    reason = ""
    if layers is not None:
        found = _partly(make, state, convert, run, layers, where)
        if not isinstance(found, str):
            return found, Reading(state.bytes_read, state.total)
        reason = found
    module = make()
    load_by_name(module, convert(module, state.read()), where)
    return module, Reading(state.bytes_read, state.total, reason)


def _partly(
    make: Callable[[], torch.nn.Module],
    state: LazyState,
    convert: Convert,
    run: Callable[[torch.nn.Module, str], Any],
    layers: Sequence[str],
    where: str,
) -> torch.nn.Module | str:
    with uninitialised():
        module = make()
    names = _renamed(module, state, convert)
    if isinstance(names, str):
        return names
    own = module.state_dict()
    check_names(own, {name: state[source] for name, source in names.items()}, where)
    trial = sketch(module).eval()
    wanted = needed(trial, lambda: run(trial, "meta"), layers)
    if isinstance(wanted, str):
        return wanted
    # Buffers are small, and a constructor's own value must not stand for a stored one.
    wanted |= {name for name, _ in module.named_buffers()}
    drop_data(module, wanted)
    for name, tensor in own.items():
        if name in wanted:
            tensor.copy_(state[names[name]].read())
    return module


def _renamed(module: torch.nn.Module, state: LazyState, convert: Convert) -> dict[str, str] | str:
    """Names in the file by the module's own names, if conversion only renames."""
    placeholders = {name: tensor.placeholder() for name, tensor in state.items()}
    sources = {id(tensor): name for name, tensor in placeholders.items()}
    try:
        converted = convert(module, dict(placeholders))
    except ConvergentError:
        raise
    # Converters are each architecture's own, and some look at values.
    except Exception as error:
        return f"the weights are converted by value ({type(error).__name__})"
    changed = [name for name, tensor in converted.items() if id(tensor) not in sources]
    if changed:
        return f"'{changed[0]}' is converted, not only renamed"
    return {name: sources[id(tensor)] for name, tensor in converted.items()}
