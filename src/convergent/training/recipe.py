"""Recipes: which network is trained, on what, and how it is saved."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field

from convergent.registry import RECIPES
from convergent.sections import Real, Section, Seed, Whole
from convergent.study.types import Model

if TYPE_CHECKING:
    import torch


class TrainingOptions(Section):
    """Options of every recipe; recipes add their own and change the defaults.

    Attributes
    ----------
    seed : int
        Of the initial weights and of the order of the data.
    learning_rate : float
        At the end of the warm-up; it then falls to 0 along a cosine.
    weight_decay, clip : float
        Of AdamW; largest norm of the gradient.
    batch_size, warmup : int
        Items a step; steps of the warm-up.
    """

    seed: Seed = 0
    learning_rate: Annotated[Real, Field(gt=0)] = 3e-3
    weight_decay: Annotated[Real, Field(ge=0)] = 0.05
    clip: Annotated[Real, Field(gt=0)] = 1.0
    batch_size: Annotated[Whole, Field(ge=2)] = 48
    warmup: Annotated[Whole, Field(ge=1)] = 10


class Run(Protocol):
    """One network being trained.

    Attributes
    ----------
    module : torch.nn.Module
    facts : dict
        What the record should say of the data and the network.
    """

    module: torch.nn.Module
    facts: dict[str, object]

    def loss(self, generator: torch.Generator) -> torch.Tensor:
        """Draw a batch and give its loss."""
        ...

    def save(self, directory: Path) -> None:
        """Write the network in the hub's layout into an existing, empty directory."""
        ...


class Recipe(Protocol):
    """A way to train models.

    Attributes
    ----------
    options : type of TrainingOptions
        Options that a study may give under ``training: <recipe>:``.
    """

    options: type[TrainingOptions]

    def start(self, model: Model, options: TrainingOptions, device: str) -> Run:
        """Build the network, of the widths that the model's row declares, and its data.

        The caller has seeded torch.
        """
        ...


@functools.cache
def recipe(name: str) -> Recipe:
    """Make a recipe, once.

    Raises
    ------
    UnknownKeyError, PluginError
        There is none of that name, or it cannot be used.
    """
    made: Recipe = RECIPES.load(name)()
    return made
