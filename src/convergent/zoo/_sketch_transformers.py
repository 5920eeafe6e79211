"""Rows of transformers as sketches: networks without weights, run at two sizes."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import ModelError
from convergent.models.inspect import Sketch
from convergent.models.layers import Pass
from convergent.study.types import Model
from convergent.zoo._architectures import ARCHITECTURES, read_architecture
from convergent.zoo._empty_network import (
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
        module = network_of(_config(directory, where))
    elif model.architecture:
        module = _known(model.architecture, _beside(model))
    else:
        raise ModelError(
            "nothing says what network this is",
            where=where,
            fix="name a file of config/models/transformers in the architecture column",
        )
    if model.modality == "vision":
        passes = _image_passes(module, where)
    else:
        passes = _text_pass(module, 3, _TOKENS, where), _text_pass(module, 5, 2 * _TOKENS, where)
    return Sketch(passes, model.modality, count_parameters(module), tuple_outputs=True)


def _beside(model: Model) -> Path:
    table = Path(model.source_location.partition(", line")[0])
    own = table.parent / "transformers"
    return own if model.source_location and own.is_dir() else ARCHITECTURES


@lru_cache(maxsize=4)  # rows of a family stand together, and many of them share a network
def _known(architecture: str, directory: Path) -> nn.Module:
    return empty_network(read_architecture(architecture, directory))


def _config(directory: Path, where: str) -> Any:
    import transformers

    try:
        return transformers.AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False
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


def _image_passes(module: nn.Module, where: str) -> tuple[Pass, Pass]:
    config: Any = module.config
    tower = getattr(config, "vision_config", config)
    side = getattr(tower, "image_size", None)
    if not isinstance(side, int):
        raise ModelError(
            f"'{config.model_type}' does not say the size of its images",
            where=where,
            fix="list the layers by hand",
        )
    larger = deepcopy(config)
    getattr(larger, "vision_config", larger).image_size = 2 * side
    return (
        _image_pass(module, 3, side, where),
        _image_pass(network_of(larger), 5, 2 * side, where),
    )


def _image_pass(module: nn.Module, items: int, side: int, where: str) -> Pass:
    import torch

    inputs = {"pixel_values": torch.empty(items, 3, side, side, device="meta")}
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
        with torch.no_grad():
            return call(**inputs)

    return run
