"""Recipes by name: which network is trained, on what, and how it is saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol, TypeVar

from pydantic import Field

from convergent.errors import ConfigError, UnknownKeyError, did_you_mean
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


_RECIPES: dict[str, Recipe] = {}

RecipeClass = TypeVar("RecipeClass", bound=type[Recipe])


def register_recipe(name: str) -> Callable[[RecipeClass], RecipeClass]:
    """Register a recipe, as named in a model's reference ``trained:<name>``.

    Raises
    ------
    ConfigError
        Another recipe has that name.
    """

    def register(kind: RecipeClass) -> RecipeClass:
        if name in _RECIPES:
            raise ConfigError(
                f"recipe '{name}' is registered twice", fix="give the new one another name"
            )
        _RECIPES[name] = kind()
        return kind

    return register


def recipe(name: str) -> Recipe:
    """Look a recipe up.

    Raises
    ------
    UnknownKeyError
        There is none of that name.
    """
    known = _known()
    if name not in known:
        raise UnknownKeyError(f"unknown recipe '{name}'", fix=did_you_mean(name, known))
    return known[name]


def recipe_names() -> list[str]:
    """Names of all recipes, sorted."""
    return sorted(_known())


def _known() -> dict[str, Recipe]:
    # The built-in recipes register themselves when they are imported.
    from convergent.training import _language, _vision  # noqa: F401

    return _RECIPES
