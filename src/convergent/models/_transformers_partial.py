"""Networks of transformers without the parts whose weights nobody needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import WeightsError
from convergent.models._lazy import open_state
from convergent.models._needed import prune
from convergent.models._partial import Reading
from convergent.models._request import LoadRequest
from convergent.models._spread import DeviceMap

if TYPE_CHECKING:
    import torch

# Wrong shapes are reported with missing parameters, and refused by name.
INFORM: dict[str, Any] = {"output_loading_info": True, "ignore_mismatched_sizes": True}


def load_partly(
    request: LoadRequest,
    directory: Path,
    config: Any,
    kind: type,
    wanted: frozenset[str],
    places: DeviceMap | None,
) -> tuple[Any, dict[str, Any], Reading]:
    """Load with transformers' own renaming and conversion, into a network without the rest.

    Parameters
    ----------
    request : LoadRequest
    directory : Path
    config : PretrainedConfig
    kind : type
        Class of the network.
    wanted : frozenset of str
        Tensors that are needed.
    places : dict or None
        As `convergent.models._spread.device_map` gives it.

    Returns
    -------
    module : torch.nn.Module
    info : dict
        What transformers says about missing parameters.
    reading : Reading
    """
    state = open_state([directory / name for name in request.weight_files], request.where)
    placement = {} if places is None else {"device_map": places}
    try:
        module, info = _pruned(kind, wanted).from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=dtype_of(request),
            **INFORM,
            **placement,
        )
    # Readers of safetensors and pickles raise their own kinds.
    except Exception as error:
        what = f"transformers cannot load part of '{directory}'"
        raise unreadable(what, error, request.where) from error
    return module, info, Reading(state.bytes_read, state.total)


def _pruned(kind: Any, wanted: frozenset[str]) -> Any:
    """Make a class whose networks have placeholders for the parts that are not wanted.

    It keeps the name and module of the original: conversions of weights are looked up by them.
    """

    def build_pruned(self: Any, *arguments: Any, **named: Any) -> None:
        kind.__init__(self, *arguments, **named)
        prune(self, wanted)
        there = {name for name, _ in self.named_parameters(remove_duplicate=False)}
        tied = self.all_tied_weights_keys
        self.all_tied_weights_keys = {
            name: source for name, source in tied.items() if {name, source} <= there
        }

    body = {"__init__": build_pruned, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), body)


def dtype_of(request: LoadRequest) -> torch.dtype:
    """Give the precision that was asked for."""
    import torch

    found: torch.dtype = getattr(torch, request.dtype)
    return found


def unreadable(what: str, error: Exception, where: str) -> WeightsError:
    """Turn whatever a reader raised into one line that names the file or directory."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return WeightsError(
        f"{what} ({type(error).__name__}: {first})",
        where=where,
        fix="check that the files are complete, hold tensors only and need no own code",
    )
