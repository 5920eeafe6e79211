"""Read modules during a forward pass, and stop it after the last one."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn

from convergent.errors import LayerError


class _StopForwardError(Exception):
    """Everything asked for has been read; the rest of the pass would be wasted."""


def find_modules(module: nn.Module, names: Sequence[str], where: str) -> dict[str, nn.Module]:
    """Look up modules by path.

    Raises
    ------
    LayerError
        If a path does not exist, with the closest that do.
    """
    known = dict(module.named_modules(remove_duplicate=False))
    for name in names:
        if name not in known or not name:
            close = difflib.get_close_matches(name, list(known), n=5, cutoff=0.4)
            children = [child for child, _ in module.named_children()]
            raise LayerError(
                f"the model has no module '{name}'",
                where=where,
                fix=f"close paths: {', '.join(close)}" if close else f"top: {', '.join(children)}",
            )
    return {name: known[name] for name in names}


@contextmanager
def _hooked(
    modules: Mapping[str, nn.Module], read: Callable[[str, Any], None], fired: set[str]
) -> Iterator[None]:
    def make(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _arguments: Any, output: Any) -> None:
            # A module that is used twice counts the first time, as in a pass for it alone.
            if name in fired:
                return
            # Read at once: operations that follow may overwrite the tensor in place.
            read(name, output)
            fired.add(name)
            if len(fired) == len(modules):
                raise _StopForwardError

        return hook

    handles = [module.register_forward_hook(make(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def read_modules(
    modules: Mapping[str, nn.Module],
    forward: Callable[[], Any],
    read: Callable[[str, Any], None],
    where: str,
) -> None:
    """Run a forward pass until each module has run once.

    Parameters
    ----------
    modules : mapping of str to Module
    forward : callable
        Starts the pass.
    read : callable
        ``read(name, output)`` is called as soon as a module has run.
    where : str
        For the error message.

    Raises
    ------
    LayerError
        If the pass ends and a module has not run.
    """
    fired: set[str] = set()
    with _hooked(modules, read, fired):
        try:
            forward()
        except _StopForwardError:
            return
    silent = [name for name in modules if name not in fired]
    raise LayerError(
        f"module {', '.join(map(repr, silent))} did not run in the forward pass",
        where=where,
        fix="list a module that this model uses for its modality",
    )
