"""Rows of transformers as sketches: networks without weights, run at two sizes."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import ModelError
from convergent.models.inspect import Sketch
from convergent.models.layers import Pass
from convergent.study.types import Modality, Model
from convergent.zoo._architectures import ARCHITECTURES, read_architecture
from convergent.zoo._empty_network import (
    answered,
    count_parameters,
    empty_network,
    example_inputs,
    network_of,
    run_network,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

_TOKENS = 7


def sketch(model: Model, directory: Path | None = None) -> Sketch:
    """Build a network; its second pass has more and longer texts, or larger images.

    Parameters
    ----------
    model : Model
        Its architecture column names a file in ``transformers/`` beside the table.
    directory : Path, optional
        In the hub's layout; its ``config.json`` then says what to build.

    Raises
    ------
    ModelError
        The network cannot be built, needs code of its own, or has no tower of the modality.
    """
    where = f"model '{model.key}'"
    if directory is not None:
        config = _config(directory, where, model.preprocessing.get("gguf", ""))
    elif model.architecture:
        config = _known(model.architecture, _beside(model)).config
    else:
        raise ModelError(
            "nothing says what network this is",
            where=where,
            fix="name a file of config/models/transformers in the architecture column",
        )
    return _runnable(model.modality, config, where)


# Networks of more parameters are not built with data: 4 GiB in float32.
_MOST_PARAMETERS = 1 << 30


def _runnable(modality: Modality, config: Any, where: str) -> Sketch:
    """Sketch that runs: without data, in a type that its kernels take, or on the CPU with data."""
    import torch

    reasons: list[str] = []
    parameters = 0
    for device, dtype in (("meta", "float32"), ("meta", "bfloat16"), ("cpu", "float32")):
        if device == "cpu" and parameters > _MOST_PARAMETERS:
            break
        made = network_of(config, device=device, dtype=getattr(torch, dtype))
        parameters = count_parameters(made)
        if modality == "vision":
            passes = _image_passes(made, where)
        else:
            passes = (
                _text_pass(made, 3, _TOKENS, where),
                _text_pass(made, 5, 2 * _TOKENS, where),
            )
        try:
            for step in passes:
                step.call(step.inputs)
        except ModelError:
            raise
        # A pass fails in as many ways as there are networks: on what their kernels do not take,
        # on values that are not there.
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            reasons.append(first.rstrip("."))
        else:
            return Sketch(passes, modality, parameters, tuple_outputs=True)
    large = "" if parameters <= _MOST_PARAMETERS else f", and {parameters:,} parameters are many"
    raise ModelError(
        f"a pass through '{config.model_type}' fails ({reasons[-1]}){large}",
        where=where,
        fix="list the layers by hand, as the modules of transformers are named",
    )


def _beside(model: Model) -> Path:
    table = Path(model.source_location.partition(", line")[0])
    own = table.parent / "transformers"
    return own if model.source_location and own.is_dir() else ARCHITECTURES


@lru_cache(maxsize=4)  # rows of a family stand together, and many of them share a network
def _known(architecture: str, directory: Path) -> nn.Module:
    return empty_network(read_architecture(architecture, directory))


def _config(directory: Path, where: str, gguf: str) -> Any:
    import transformers

    file = {"gguf_file": gguf} if gguf else {}
    try:
        return transformers.AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False, **file
        )
    # Readers of JSON and checks of the values raise errors of their own kinds.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"'{directory}' has no configuration that can be read ({first})",
            where=where,
            fix="check that config.json is there and needs no code of its own",
        ) from error


def _text_pass(module: nn.Module, items: int, tokens: int, where: str) -> Pass:
    inputs = example_inputs(module, items, tokens)
    tower = _tower(module, "get_text_features", where)
    return Pass(module, inputs, tower or (lambda i: run_network(module, i)), items, tokens=tokens)


_USUAL_SIDE = 224  # of the many networks whose configuration does not say a size


def _image_passes(module: nn.Module, where: str) -> tuple[Pass, Pass]:
    config: Any = module.config
    tower = getattr(config, "vision_config", config)
    said = getattr(tower, "image_size", None)
    sides = list(said) if isinstance(said, (list, tuple)) else [said or _USUAL_SIDE] * 2
    if not all(isinstance(side, int) and side > 0 for side in sides) or len(set(sides)) != 1:
        raise ModelError(
            f"the images of '{config.model_type}' are of the size {said}",
            where=where,
            fix="list the layers by hand: images are square here",
        )
    side = sides[0]
    larger = deepcopy(config)
    if said is not None:
        twice = [2 * side] * len(sides) if isinstance(said, (list, tuple)) else 2 * side
        getattr(larger, "vision_config", larger).image_size = twice
    parameter = next(module.parameters())
    other = network_of(larger, device=parameter.device.type, dtype=parameter.dtype)
    return (
        _image_pass(module, 3, side, where),
        _image_pass(other if said is not None else module, 5, 2 * side, where),
    )


def _image_pass(module: nn.Module, items: int, side: int, where: str) -> Pass:
    import torch

    parameter = next(module.parameters())
    config: Any = module.config
    channels = getattr(getattr(config, "vision_config", config), "num_channels", 3)
    shape = (items, channels, side, side)
    inputs = {"pixel_values": torch.zeros(shape, device=parameter.device, dtype=parameter.dtype)}
    tower = _tower(module, "get_image_features", where)
    return Pass(module, inputs, tower or (lambda i: run_network(module, i)), items, side=side)


def _tower(module: nn.Module, name: str, where: str) -> Any:
    """Call one tower of a dual encoder; None if there is one network only."""
    import torch

    config: Any = module.config
    if not (hasattr(config, "vision_config") and hasattr(config, "text_config")):
        return None
    call = getattr(module, name, None)
    if call is None:
        raise ModelError(
            f"'{config.model_type}' has no towers of its own for images and texts",
            where=where,
            fix="use a dual encoder such as CLIP, or the tower's own checkpoint",
        )

    def run(inputs: dict[str, torch.Tensor]) -> Any:
        with torch.no_grad(), answered():
            return call(**inputs)

    return run
