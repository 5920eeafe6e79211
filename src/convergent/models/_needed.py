"""Which weights the outputs of a few layers depend on, found by a forward pass without data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


class _StopForwardError(Exception):
    """All wanted layers have run."""


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
        Module paths.

    Returns
    -------
    frozenset of str or str
        Names as in ``state_dict()``, or why they cannot be found: the pass depends on the
        inputs' values, or a layer does not exist or run.

    Notes
    -----
    Needed is every parameter and buffer that an operation takes, and all that belong directly
    to a module that was entered. A wrong guess cannot give a wrong number: a pass that meets
    a tensor without data stops with an error.
    """
    modules = dict(module.named_modules(remove_duplicate=False))
    missing = [name for name in layers if name not in modules]
    if missing:
        return f"there is no module '{missing[0]}'"
    touched: set[int] = set()
    waiting = set(layers)
    try:
        with _recorded(modules, touched, waiting):
            run()
    except _StopForwardError:
        return frozenset(
            f"{path}.{name}" if path else name
            for path, part in modules.items()
            for name, tensor in _own(part)
            if id(tensor) in touched
        )
    # A pass without data fails in as many ways as there are networks.
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return f"the pass needs data ({type(error).__name__}: {first[:80]})"
    return f"module '{min(waiting)}' did not run"


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
    modules: dict[str, torch.nn.Module], touched: set[int], waiting: set[str]
) -> Iterator[None]:
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._pytree import tree_iter

    class Recorder(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            touched.update(
                id(value)
                for value in tree_iter((arguments, named))
                if isinstance(value, torch.Tensor)
            )
            return function(*arguments, **(named or {}))

    def entered(part: torch.nn.Module, _arguments: Any) -> None:
        touched.update(id(tensor) for _, tensor in _own(part))

    def left(names: list[str]) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            waiting.difference_update(names)
            if not waiting:
                raise _StopForwardError

        return hook

    names_of: dict[torch.nn.Module, list[str]] = {}
    for name in sorted(waiting):
        names_of.setdefault(modules[name], []).append(name)
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
