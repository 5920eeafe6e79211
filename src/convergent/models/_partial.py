"""Fill a network with the weights that some layers need, or with all of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convergent.errors import ConvergentError
from convergent.models._lazy import LazyState
from convergent.models._needed import needed
from convergent.models._place import drop_data, sketch, uninitialised
from convergent.models._state import check_names, load_by_name

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

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
