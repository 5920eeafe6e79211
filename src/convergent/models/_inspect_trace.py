"""One forward pass on the meta device, with what each module read and gave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Identity of a tensor at a moment: writing into it in place gives another state.
State = tuple[int, int]


@dataclass(frozen=True)
class Pass:
    """A network and inputs for it.

    Attributes
    ----------
    module : torch.nn.Module
        On the meta device, in evaluation mode.
    inputs : dict of str to Tensor
        On the meta device.
    call : callable
        ``call(inputs)``: one forward pass.
    items : int
        Size of the batch; passes of one sketch differ in it.
    side : int or None
        Side of the images in pixels.
    tokens : int or None
        Number of tokens of each text.
    otherwise : callable, optional
        Makes the pass to take if this one fails: a network built for the size.
    """

    module: torch.nn.Module
    inputs: dict[str, torch.Tensor]
    call: Callable[[dict[str, torch.Tensor]], Any]
    items: int
    side: int | None = None
    tokens: int | None = None
    otherwise: Callable[[], Pass] | None = None


@dataclass
class Call:
    """What one module did in a pass; of several calls the first, with their number.

    Attributes
    ----------
    path : str
    module : torch.nn.Module
    start, stop : int
        Moments, counted in starts and ends of modules.
    read : tuple of State
        Tensors among the arguments.
    output : object
    gave : State or None
        None unless the output is one tensor.
    calls : int
    """

    path: str
    module: torch.nn.Module
    start: int
    read: tuple[State, ...]
    stop: int = -1
    output: Any = None
    gave: State | None = None
    calls: int = 1


@dataclass
class Trace:
    """Calls by path, for the modules that ran."""

    calls: dict[str, Call]
    # Tensors are kept, so that no two of them can have the same id.
    kept: list[torch.Tensor] = field(repr=False, default_factory=list)

    def below(self, path: str) -> Iterator[Call]:
        """Calls of the modules inside a module."""
        prefix = f"{path}." if path else ""
        return (call for name, call in self.calls.items() if name.startswith(prefix) and name)


def trace(step: Pass, paths: Collection[str] | None = None) -> Trace:
    """Run a pass and record modules: all of them unless ``paths`` are named."""
    import torch

    record = Trace({})
    clock = iter(range(1 << 62))

    def before(path: str) -> Callable[..., None]:
        def hook(module: Any, arguments: Any, keywords: Any) -> None:
            if path in record.calls:
                record.calls[path].calls += 1
                return
            tensors = list(tensors_in((arguments, keywords)))
            record.kept.extend(tensors)
            read = tuple(_state(tensor) for tensor in tensors)
            record.calls[path] = Call(path, module, next(clock), read)

        return hook

    def after(path: str) -> Callable[..., None]:
        def hook(_module: Any, _arguments: Any, output: Any) -> None:
            call = record.calls[path]
            if call.stop >= 0:
                return
            call.stop = next(clock)
            call.output = output
            record.kept.extend(tensors_in(output))
            call.gave = _state(output) if isinstance(output, torch.Tensor) else None

        return hook

    handles = []
    for path, module in step.module.named_modules():
        if paths is not None and path not in paths:
            continue
        handles.append(module.register_forward_pre_hook(before(path), with_kwargs=True))
        handles.append(module.register_forward_hook(after(path)))
    try:
        with torch.no_grad():
            step.call(step.inputs)
    finally:
        for handle in handles:
            handle.remove()
    return record


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Tensors in nested tuples, lists, mappings and model outputs."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)


def _state(tensor: torch.Tensor) -> State:
    return id(tensor), tensor._version
