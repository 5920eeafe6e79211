"""Towers of open_clip on the meta device."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.models.inspect import Sketch
from convergent.models.layers import Pass
from convergent.models.open_clip import OpenClipSource, _create, _settings
from convergent.models.source import LoadRequest
from convergent.study.types import Model
from convergent.zoo.sketch_timm import request_for

if TYPE_CHECKING:
    import torch


def sketch(model: Model, directory: Path | None = None) -> Sketch:
    """Build both towers of a model of open_clip, to run that of the row's modality.

    The second pass has images of twice the side, or texts of twice the length.

    Raises
    ------
    ModelError
        If the towers cannot be built.
    """
    request = request_for(model, OpenClipSource.options)
    settings, _ = _settings(request, directory)
    module = _network(settings, request)
    larger = deepcopy(settings)
    if model.modality == "language":
        length = int(settings["text_cfg"].get("context_length", 77))
        larger["text_cfg"]["context_length"] = 2 * length
        passes = (
            _text_pass(module, 3, length),
            _text_pass(_network(larger, request), 5, 2 * length),
        )
    else:
        size = settings["vision_cfg"].get("image_size", 224)
        side = int(size[0] if isinstance(size, (list, tuple)) else size)
        larger["vision_cfg"]["image_size"] = 2 * side
        network = _network(larger, request)
        trunk: Any = getattr(network.visual, "trunk", None)
        if hasattr(trunk, "set_input_size"):
            # open_clip does not pass the size on to networks of timm.
            trunk.set_input_size(img_size=2 * side)
        passes = _image_pass(module, 3, side), _image_pass(network, 5, 2 * side)
    return Sketch(passes, model.modality, tower_parameters(module, model.modality))


def tower_parameters(module: torch.nn.Module, modality: str) -> int:
    """Count the parameters of one tower; the temperature belongs to neither.

    Parameters
    ----------
    module : torch.nn.Module
    modality : {"vision", "language"}
    """
    custom = hasattr(module, "text")
    total = 0
    for name, parameter in module.named_parameters():
        tower = name.partition(".")[0]
        if modality == "vision":
            belongs = tower == "visual"
        elif custom:
            belongs = tower == "text"
        else:
            belongs = tower not in ("visual", "logit_scale", "logit_bias")
        total += parameter.numel() if belongs else 0
    return total


def _network(settings: dict[str, Any], request: LoadRequest) -> Any:
    import torch

    with torch.device("meta"):
        return _create(settings, request).eval()


def _image_pass(module: Any, items: int, side: int) -> Pass:
    import torch

    pixels = torch.empty(items, 3, side, side, device="meta")
    call = lambda inputs: module.encode_image(inputs["pixels"])  # noqa: E731
    return Pass(module, {"pixels": pixels}, call, items, side=side)


def _text_pass(module: Any, items: int, length: int) -> Pass:
    import torch

    ids = torch.zeros(items, length, dtype=torch.long, device="meta")
    call = lambda inputs: module.encode_text(inputs["text"])  # noqa: E731
    return Pass(module, {"text": ids}, call, items, tokens=length)
