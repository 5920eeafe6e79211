"""Networks of transformers: whole, as far as some layers need them, or with random weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import DeviceError, ModelError, WeightsError
from convergent.models._headers import check_index
from convergent.models._needed import needed, prune
from convergent.models._partial import Reading
from convergent.models._place import build, freeze
from convergent.models._remote import runs_remote_code
from convergent.models._request import LoadRequest
from convergent.models._spread import DeviceMap, device_map
from convergent.models._transformers_partial import INFORM, dtype_of, load_partly, unreadable

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Network:
    """A network in place.

    Attributes
    ----------
    module : torch.nn.Module
    device : str
        Where its inputs go.
    fresh : tuple of str
        Parameters that are not in the weights.
    reading : Reading
    """

    module: torch.nn.Module
    device: str
    fresh: tuple[str, ...]
    reading: Reading


def read(auto: str, request: LoadRequest, directory: Path, **arguments: Any) -> Any:
    """Read one part of a directory with the class of transformers that is called ``auto``.

    Raises
    ------
    WeightsError
        If it cannot be read, or needs code that the row does not allow.
    """
    import transformers

    trusted = runs_remote_code(request, directory)
    try:
        return getattr(transformers, auto).from_pretrained(
            directory, local_files_only=True, trust_remote_code=trusted, **arguments
        )
    # Readers of safetensors, pickles, JSON and tokenizers each raise their own kinds.
    except Exception as error:
        raise unreadable(f"{auto} cannot read '{directory}'", error, request.where) from error


def load_network(
    request: LoadRequest,
    directory: Path,
    config: Any,
    gguf: dict[str, str],
    trial: Callable[[torch.nn.Module, str], Any],
) -> Network:
    """Build a network and put it in place.

    Parameters
    ----------
    request : LoadRequest
    directory : Path
    config : PretrainedConfig
    gguf : dict of str to str
        Further arguments for quantised files.
    trial : callable
        ``trial(module, device)``: the smallest forward pass.

    Raises
    ------
    WeightsError
        If the weights are damaged or lack parameters.
    DeviceError
        If they fit neither one GPU nor those of the job.
    """
    sketch, why_whole = _sketch(request, directory, config, gguf)
    wanted: frozenset[str] | None = None
    if sketch is not None and request.layers is not None:
        found = needed(sketch, lambda: trial(sketch, "meta"), request.layers)
        if isinstance(found, str):
            why_whole = found
        else:
            wanted = found
            prune(sketch, wanted)
    places = _places(request, sketch)
    if request.seed is not None:
        return _random(request, config, wanted, places)
    check_index(directory, request.weight_files, request.where)
    if sketch is not None and wanted is not None:
        module, info, reading = load_partly(
            request, directory, config, type(sketch), wanted, places
        )
    else:
        arguments = {"config": config, "dtype": dtype_of(request), **INFORM}
        if places is not None:
            arguments["device_map"] = places
        module, info = read(_auto(request), request, directory, **arguments, **gguf)
        total = sum((directory / name).stat().st_size for name in request.weight_files)
        reading = Reading(total, total, why_whole if request.layers is not None else "")
    fresh = tuple(sorted(info["missing_keys"]))
    _check_shapes(info["mismatched_keys"], request.where)
    _check_complete(fresh, request.where)
    return _placed(request, module, fresh, reading, places)


def _sketch(
    request: LoadRequest, directory: Path, config: Any, gguf: dict[str, str]
) -> tuple[Any, str]:
    """Build the network on the meta device; or tell why it can't be built without its weights."""
    import torch
    import transformers

    if gguf:
        return None, "a gguf file is decoded whole"
    if getattr(config, "quantization_config", None) is not None:
        return None, "the weights are quantised"
    if runs_remote_code(request, directory):
        return None, "the network is code of the repository"
    try:
        with torch.device("meta"):
            network = getattr(transformers, _auto(request))
            return network.from_config(config, dtype=dtype_of(request)).eval(), ""
    # Some constructors compute with values, each failing in its own way without data.
    except Exception as error:
        return None, f"the network can't be built without data ({type(error).__name__})"


def _auto(request: LoadRequest) -> str:
    return "AutoModelForCausalLM" if request.head else "AutoModel"


def _places(request: LoadRequest, sketch: Any) -> DeviceMap | None:
    spread = request.options.choice("device_map", "none", ("none", "auto")) == "auto"
    if sketch is None:
        if spread:
            raise DeviceError(
                "this model cannot be spread over GPUs",
                where=request.where,
                fix="remove device_map from the preprocessing column",
            )
        return None
    return device_map(
        sketch, request.device, spread=spread, offload=request.offload, where=request.where
    )


def _random(
    request: LoadRequest, config: Any, wanted: frozenset[str] | None, places: DeviceMap | None
) -> Network:
    from transformers import AutoModel, AutoModelForCausalLM

    # Drawn whole, on the CPU: the same numbers whatever the layers and the machine's GPUs.
    dtype = dtype_of(request)
    module: Any = build(lambda: AutoModel.from_config(config, dtype=dtype), request.seed)
    if request.head:
        below, seed = module, request.seed
        module = build(lambda: AutoModelForCausalLM.from_config(config, dtype=dtype), seed)
        if type(getattr(module, module.base_model_prefix)) is not type(below):
            raise ModelError(
                f"'{type(module).__name__}' is no '{type(below).__name__}' with a head",
                where=request.where,
                fix="leave evaluations that need a head out for the model",
            )
        # the twin that is extracted, with a head on it
        setattr(module, module.base_model_prefix, below)
        module.tie_weights()
    if wanted is not None:
        prune(module, wanted)
    if places is not None:
        from accelerate import dispatch_model

        module = dispatch_model(module, device_map=places)
    return _placed(request, module, (), Reading(), places)


def _check_shapes(mismatched: Iterable[tuple[str, Any, Any]], where: str) -> None:
    for name, given, needed_shape in sorted(mismatched, key=lambda item: item[0]):
        raise WeightsError(
            f"'{name}' has shape {tuple(given)}, the configuration needs {tuple(needed_shape)}",
            where=where,
            fix="check that weights and config.json are of one commit",
        )


def _check_complete(fresh: tuple[str, ...], where: str) -> None:
    # Published checkpoints often lack the pooler; anything else missing means wrong weights.
    essential = [name for name in fresh if "pooler" not in name.split(".")]
    if essential:
        raise WeightsError(
            f"{len(essential)} parameters are not in the weights (first: {essential[0]})",
            where=where,
            fix="check that the weights belong to this architecture",
        )


def _placed(
    request: LoadRequest,
    module: Any,
    fresh: tuple[str, ...],
    reading: Reading,
    places: DeviceMap | None,
) -> Network:
    reading.tell(request.where)
    if getattr(module.config, "use_cache", False):
        module.config.use_cache = False
    if places is None:
        # The precision is transformers' choice: some tables of positions stay in float32.
        return Network(freeze(module, request.device), request.device, fresh, reading)
    module.eval().requires_grad_(False)
    first = next(iter(places.values()))
    device = request.device if first == "cpu" else f"cuda:{first}"
    log.info("%s: spread over %s", request.where, sorted({str(p) for p in places.values()}))
    return Network(module, device, fresh, reading)
