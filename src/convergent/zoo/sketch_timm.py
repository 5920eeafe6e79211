"""Networks of timm on the meta device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convergent.errors import ModelError
from convergent.models.inspect import Sketch
from convergent.models.layers import Pass
from convergent.models.source import LoadRequest, Options
from convergent.models.timm import TimmSource, _create
from convergent.study.rows import default_checkpoint
from convergent.study.types import Model

if TYPE_CHECKING:
    import torch


def sketch(model: Model, directory: Path | None = None) -> Sketch:
    """Build a timm network; the second pass has images of twice the side.

    Raises
    ------
    ModelError
        If it cannot be built.
    """
    small = _network(model, directory)
    config = getattr(small, "pretrained_cfg", None) or {}
    own = int(config.get("input_size", (3, 224, 224))[-1])
    side = int(model.preprocessing.get("size", own))

    def rebuilt() -> Pass:
        options = model.preprocessing | {"img_size": str(2 * side)}
        larger = _network(replace(model, preprocessing=options), directory)
        return image_pass(larger, 5, 2 * side)

    first = image_pass(small, 3, side)
    second = replace(image_pass(small, 5, 2 * side), otherwise=rebuilt)
    parameters = sum(parameter.numel() for parameter in small.parameters())
    return Sketch((first, second), "vision", parameters)


def image_pass(module: torch.nn.Module, items: int, side: int) -> Pass:
    """Run a network on square RGB images."""
    import torch

    pixels = torch.empty(items, 3, side, side, device="meta")
    return Pass(module, {"pixels": pixels}, lambda inputs: module(inputs["pixels"]), items, side)


def request_for(model: Model, options: frozenset[str]) -> LoadRequest:
    """Ask a source for a network without weights."""
    return LoadRequest(
        model=model,
        checkpoint=default_checkpoint(model),
        options=Options(model, options),
        weight_files=(),
        device="meta",
        dtype=model.precision,
    )


def _network(model: Model, directory: Path | None) -> torch.nn.Module:
    import torch

    with torch.device("meta"):
        module = _create(request_for(model, TimmSource.options), directory)
    if any(not parameter.is_meta for parameter in module.parameters()):
        raise ModelError(
            "the constructor makes parameters outside of the meta device",
            where=f"model '{model.key}'",
            fix="list the layers by hand",
        )
    return module.eval()
