"""Networks and their training, and a baseline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convergent.brains import StimulusSet
from convergent.models import LoadedModel, LoadRequest, Options, baseline
from convergent.study import Model
from convergent.training import TrainingOptions


def _network(width: int):
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, width), nn.Tanh())


class GratingNets:
    """Source: networks of one layer, from ``model.safetensors`` in a folder."""

    options = frozenset[str]()
    weight_names = ("model.safetensors",)
    config_patterns = ()

    def hub_id(self, architecture: str, reference: str) -> str:
        """These networks are on no hub."""
        raise NotImplementedError

    def load(self, request: LoadRequest, directory: Path | None) -> LoadedModel:
        """Build the network and read its weights."""
        import torch
        from safetensors.torch import load_file

        assert directory is not None
        network = _network(request.model.layers[-1].width)
        network.load_state_dict(load_file(directory / request.weight_files[0]))
        network.eval().requires_grad_(False)
        return LoadedModel(
            module=network,
            run=lambda inputs: network(inputs["pixels"]),
            device=request.device,
            dtype=request.dtype,
            images=lambda batch: torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255,
        )


@dataclass
class _Run:
    module: object
    facts: dict[str, object]

    def loss(self, generator):
        """Spread the outputs."""
        import torch

        pixels = torch.rand(8, 3, 16, 16, generator=generator)
        return -self.module(pixels).var()

    def save(self, directory: Path) -> None:
        """Write the weights."""
        from safetensors.torch import save_file

        save_file(self.module.state_dict(), directory / "model.safetensors")


class GratingNet:
    """Recipe: a network of one layer."""

    options = TrainingOptions

    def start(self, model: Model, options: TrainingOptions, device: str) -> _Run:
        """Build the network."""
        return _Run(_network(model.layers[-1].width), {"kind": "one layer"})


@baseline("vision", "items")
def orientation(stimuli: StimulusSet, options: Options) -> np.ndarray:
    """Mean energy along rows and along columns, (stimulus, 2)."""
    grey = stimuli.images[:].mean(axis=3)
    across, down = np.diff(grey, axis=1), np.diff(grey, axis=2)
    return np.stack([np.abs(across).mean(axis=(1, 2)), np.abs(down).mean(axis=(1, 2))], axis=1)
