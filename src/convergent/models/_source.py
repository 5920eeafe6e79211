"""Model sources: where architectures and weights come from."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from convergent.registry import SOURCES

if TYPE_CHECKING:
    from convergent.models._loaded import LoadedModel
    from convergent.models._request import LoadRequest


class Source(Protocol):
    """What a model source provides. Methods import their library when they are called.

    Attributes
    ----------
    options : frozenset of str
        Keys that a row's ``preprocessing`` may use with this source.
    weight_names : tuple of str
        Names of weight files in a directory, the preferred (safest) first.
    config_patterns : tuple of str
        Glob patterns of the other files that decide what the model computes:
        architecture, tokenizer, image preprocessing.
    """

    options: frozenset[str]
    weight_names: tuple[str, ...]
    config_patterns: tuple[str, ...]

    def hub_id(self, architecture: str, reference: str) -> str:
        """Hub repository that a pretrained tag of this source stands for."""
        ...

    def load(self, request: LoadRequest, directory: Path | None) -> LoadedModel:
        """Build the model in evaluation mode, with trained or random weights."""
        ...


@functools.cache
def source(name: str) -> Source:
    """Make a model source, once.

    Raises
    ------
    UnknownKeyError, PluginError
        If no source has this name, or it cannot be used.
    """
    made: Source = SOURCES.load(name)()
    return made
