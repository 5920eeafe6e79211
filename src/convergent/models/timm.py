"""Vision models of timm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import ModelError, UnknownKeyError, did_you_mean
from convergent.models.images import ImageTransform, image_transform, resize_named, square
from convergent.models.place import build, freeze
from convergent.models.source import (
    IMAGE_OPTIONS,
    PASS_OPTIONS,
    TOKEN_OPTIONS,
    LoadedModel,
    LoadRequest,
)
from convergent.models.state import Reading, fill, load_in_order, open_state

if TYPE_CHECKING:
    import torch


class TimmSource:
    """A directory in timm's hub layout, or an architecture and a file of weights.

    Options: those of images and tokens; ``file=<name>`` of the weights;
    ``weights=in_order`` copies the tensors by position, for the same network under other
    names; ``num_classes=<n>`` (0: no head) and ``img_size=<n>`` go to the constructor.
    """

    options = (
        IMAGE_OPTIONS
        | TOKEN_OPTIONS
        | PASS_OPTIONS
        | {"weights", "file", "num_classes", "img_size"}
    )
    weight_names = ("model.safetensors", "pytorch_model.bin")
    config_patterns = ("config.json",)

    def hub_id(self, architecture: str, reference: str) -> str:
        """Refuse: timm has no tags apart from hub ids."""
        raise ModelError(
            f"timm has no pretrained tag '{reference}'",
            fix="give the hub id, for example timm/vit_base_patch16_224.augreg_in21k",
        )

    def load(self, request: LoadRequest, directory: Path | None) -> LoadedModel:
        """Build the network and read its weights."""

        def make() -> torch.nn.Module:
            return build(lambda: _create(request, directory), request.seed)

        reading = Reading()
        if request.seed is not None or directory is None:
            module = make()
        else:
            state = open_state([directory / name for name in request.weight_files], request.where)
            if request.options.choice("weights", "by_name", ("by_name", "in_order")) == "in_order":
                module = make()
                load_in_order(module, state.read(), request.where)
                reading = Reading(state.bytes_read, state.total, "copied in order")
            else:
                headless = "num_classes" in request.options
                module, reading = fill(
                    make,
                    state,
                    lambda own, found: _converted(own, found, headless),
                    lambda own, device: own(_pixels(request, own, device)),
                    request.layers,
                    request.where,
                )
        transform = image_transform(request.options, _own_transform(module))
        module = freeze(module, request.device, request.dtype)
        return LoadedModel(
            module=module,
            run=lambda inputs: module(inputs["pixels"]),
            device=request.device,
            dtype=request.dtype,
            images=transform,
            preprocessing=transform.describe(),
            reading=reading,
        )


def _pixels(request: LoadRequest, module: torch.nn.Module, device: str) -> torch.Tensor:
    import torch

    size = image_transform(request.options, _own_transform(module)).size
    return torch.zeros(1, 3, size, size, device=device)


def _create(request: LoadRequest, directory: Path | None) -> torch.nn.Module:
    import timm

    arguments: dict[str, Any] = {}
    if "num_classes" in request.options:
        arguments["num_classes"] = request.options.integer("num_classes", minimum=0)
    if "img_size" in request.options:
        arguments["img_size"] = request.options.integer("img_size")
    name = request.model.architecture
    if directory is not None and (directory / "config.json").is_file():
        declared = json.loads((directory / "config.json").read_text()).get("architecture", "")
        if name and name.partition(".")[0] != declared:
            raise ModelError(
                f"architecture '{name}', but the weights are of '{declared}'",
                where=request.where,
                fix="correct or empty the architecture column",
            )
        name = f"local-dir:{directory}"
    elif not timm.is_model(name):
        raise UnknownKeyError(
            f"timm has no architecture '{name}'",
            where=request.where,
            fix=did_you_mean(name, timm.list_models()),
        )
    try:
        module: torch.nn.Module = timm.create_model(name, pretrained=False, **arguments)
    # Constructors check their arguments each in its own way, or by running into them.
    except Exception as error:
        raise ModelError(
            f"timm cannot build it ({error})",
            where=request.where,
            fix="check architecture and preprocessing columns",
        ) from error
    return module


def _converted(
    module: torch.nn.Module, state: dict[str, torch.Tensor], headless: bool
) -> dict[str, torch.Tensor]:
    # Some architectures publish weights in another layout and bring their own converter.
    import importlib

    home = importlib.import_module(type(module).__module__)
    convert = getattr(home, "checkpoint_filter_fn", None)
    if state.keys() != module.state_dict().keys() and convert is not None:
        state = dict(convert(state, module))
    return _without_head(module, state) if headless else state


def _without_head(
    module: torch.nn.Module, state: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    # The row asked for another head; only a file that has no use for it is accepted whole.
    own = module.state_dict()
    heads = getattr(module, "pretrained_cfg", {}).get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    return {
        name: value
        for name, value in state.items()
        if name in own or not name.startswith(tuple(f"{head}." for head in heads))
    }


def _own_transform(module: torch.nn.Module) -> ImageTransform:
    from timm.data import resolve_data_config

    own = resolve_data_config(model=module)
    mode = own["crop_mode"] or "center"
    return ImageTransform(
        size=square(own["input_size"][-2:]),
        crop=float(own["crop_pct"]),
        mean=tuple(own["mean"]),
        std=tuple(own["std"]),
        interpolation=own["interpolation"] if own["interpolation"] != "random" else "bicubic",
        resize=resize_named(mode, RESIZE_OF),
        fill=tuple(round(255 * v) for v in own["mean"]) if mode == "border" else (0, 0, 0),
    )


# timm's names of what is done with images that are not square
RESIZE_OF = {"center": "crop", "squash": "squash", "border": "longest"}
