"""What every torch source does alike: seeded construction, evaluation mode, placement."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from a seed, on the CPU, and leave the global state alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def build(make: Callable[[], torch.nn.Module], seed: int | None) -> torch.nn.Module:
    """Call ``make`` with weights drawn from ``seed`` (0 where they are overwritten anyway)."""
    with seeded(0 if seed is None else seed):
        return make()


@contextmanager
def uninitialised() -> Iterator[None]:
    """Build networks without drawing their parameters, which are to be overwritten.

    Buffers are computed as usual: constructors find their device and type from parameters, so
    that these must be real, but memory that is never written costs nothing.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    keeping = {"requires_grad_", "detach_", "share_memory_", "resize_", "set_"}

    class Skip(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            name = getattr(function, "__name__", "")
            if name.endswith("_") and not name.endswith("__") and name not in keeping:
                target = next(iter((*arguments, *(named or {}).values())), None)
                if isinstance(target, torch.nn.Parameter):
                    return target
            return function(*arguments, **(named or {}))

    with Skip():
        yield


def drop_data(module: torch.nn.Module, kept: Collection[str]) -> None:
    """Move every parameter to the meta device but those that are kept, under any of their names."""
    from torch import nn

    named = list(module.named_parameters(remove_duplicate=False))
    stay = {id(parameter) for name, parameter in named if name in kept}
    twins: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and id(parameter) not in stay and not parameter.is_meta:
                twin = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
                part._parameters[name] = twins.setdefault(id(parameter), twin)


def sketch(module: torch.nn.Module) -> torch.nn.Module:
    """Copy a network to the meta device, without copying its data."""
    twins: dict[int, Any] = {}
    tensors = [*module.parameters(), *module.buffers()]
    for tensor in tensors:
        twins[id(tensor)] = type(tensor)(tensor.to("meta"))
    copied: torch.nn.Module = copy.deepcopy(module, twins)
    return copied.to("meta")


def freeze(module: torch.nn.Module, device: str, dtype: str | None = None) -> torch.nn.Module:
    """Put a module on its device, in evaluation mode and without gradients.

    Tensors without data (weights that were left in the file) stay so.

    Parameters
    ----------
    module : torch.nn.Module
    device : str
    dtype : str, optional
        Of parameters and buffers; as they are unless given.
    """
    import torch

    wanted = getattr(torch, dtype) if dtype else None

    def move(tensor: Any) -> Any:
        if tensor.is_meta:
            return tensor
        return tensor.to(device=device, dtype=wanted if tensor.is_floating_point() else None)

    moved: torch.nn.Module = module._apply(move)  # type: ignore[no-untyped-call]
    return moved.eval().requires_grad_(False)
