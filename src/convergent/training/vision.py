"""Recipes for vision: small timm networks that learn to tell scenes apart."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from convergent.brains.simulated import SCENES, scene_tiles
from convergent.sections import Real, Whole
from convergent.study.types import Model
from convergent.training.recipe import TrainingOptions
from convergent.training.train import last_width

if TYPE_CHECKING:
    import torch


_SIZE = 48  # pixels: a tile as it is
_SHIFT = 4  # pixels: tiles are moved by up to so much, their border being mirrored
_BRIGHTNESS = 0.2  # spread of the random contrast
_MEAN = _STD = 0.5


class VisionOptions(TrainingOptions):
    """Options of the vision recipes."""

    learning_rate: Annotated[Real, Field(gt=0)] = 1e-2


class ViTOptions(TrainingOptions):
    """Options of the vision transformers."""

    learning_rate: Annotated[Real, Field(gt=0)] = 4e-3
    depth: Annotated[Whole, Field(ge=1)] = 3


@dataclass
class SceneRun:
    """A timm network and the training tiles.

    Attributes
    ----------
    architecture : str
    arguments : dict
        Of ``timm.create_model``, as they go into config.json.
    """

    architecture: str
    arguments: dict[str, Any]
    batch_size: int
    device: str
    module: torch.nn.Module = field(init=False)
    facts: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        import timm
        import torch

        tiles = scene_tiles("train")
        assert tiles.images is not None
        grey = torch.from_numpy(tiles.images[..., 0].copy()).float()[:, None] / 255.0
        self._pixels = (grey - _MEAN) / _STD
        self._labels = torch.from_numpy(tiles.labels)
        self.module = timm.create_model(
            self.architecture, pretrained=False, num_classes=len(SCENES), **self.arguments
        )
        self.facts = {"architecture": self.architecture, **self.arguments, "tiles": len(tiles)}

    def loss(self, generator: torch.Generator) -> torch.Tensor:
        """Cross-entropy of the scene for moved, mirrored tiles of random contrast."""
        import torch
        from torch.nn import functional

        chosen = torch.randint(len(self._labels), (self.batch_size,), generator=generator)
        padded = functional.pad(self._pixels[chosen], (_SHIFT,) * 4, mode="reflect")
        top, left = torch.randint(2 * _SHIFT + 1, (2,), generator=generator).tolist()
        moved = padded[:, :, top : top + _SIZE, left : left + _SIZE]
        if torch.rand((), generator=generator) < 0.5:
            moved = moved.flip(3)
        contrast = torch.randn(self.batch_size, 1, 1, 1, generator=generator)
        batch = (moved * (1.0 + _BRIGHTNESS * contrast)).expand(-1, 3, -1, -1)
        logits = self.module(batch.to(self.device))
        return functional.cross_entropy(logits, self._labels[chosen].to(self.device))

    def save(self, directory: Path) -> None:
        """Write ``config.json`` and ``model.safetensors`` as timm's ``local-dir`` reads them."""
        from safetensors.torch import save_file

        state = {name: value.contiguous().cpu() for name, value in self.module.state_dict().items()}
        save_file(state, directory / "model.safetensors")
        config = {
            "architecture": self.architecture,
            "num_classes": len(SCENES),
            "model_args": self.arguments,
            "pretrained_cfg": {
                "input_size": [3, _SIZE, _SIZE],
                "mean": [_MEAN] * 3,
                "std": [_STD] * 3,
                "crop_pct": 1.0,
                "interpolation": "bicubic",
                "num_classes": len(SCENES),
                "label_names": list(SCENES),
            },
        }
        (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


class ScenesCnn:
    """ResNet-10-T of any width: four stages of w, 2w, 4w and 8w channels."""

    options: type[TrainingOptions] = VisionOptions

    def start(self, model: Model, options: TrainingOptions, device: str) -> SceneRun:
        """Build it; the last layer's width is 8w."""
        width = last_width(model, 8) // 8
        arguments = {
            "channels": [width, 2 * width, 4 * width, 8 * width],
            "stem_width": max(4, width // 2),
        }
        return SceneRun("resnet10t", arguments, options.batch_size, device)


class ScenesViT:
    """Vision transformer on 6 x 6 patches of 8 pixels, with heads of 16 units."""

    options: type[TrainingOptions] = ViTOptions

    def start(self, model: Model, options: TrainingOptions, device: str) -> SceneRun:
        """Build it; the last layer's width is that of all blocks."""
        assert isinstance(options, ViTOptions)
        width = last_width(model, 16)
        arguments = {
            "img_size": _SIZE,
            "patch_size": 8,
            "embed_dim": width,
            "depth": options.depth,
            "num_heads": width // 16,
            "mlp_ratio": 2,
            "class_token": False,
            "global_pool": "avg",
        }
        return SceneRun("vit_tiny_patch16_224", arguments, options.batch_size, device)
