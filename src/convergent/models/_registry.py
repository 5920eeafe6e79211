"""Model sources by name: where architectures and weights come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from convergent.errors import ModelError, UnknownKeyError, did_you_mean

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


_SOURCES: dict[str, Source] = {}
_S = TypeVar("_S", bound=type)


def register_source(name: str) -> Callable[[_S], _S]:
    """Register a class as the model source called ``name``.

    Parameters
    ----------
    name : str
        As written in the ``source`` column of the models table.

    Raises
    ------
    ModelError
        If the name is taken.
    """

    def register(cls: _S) -> _S:
        if name in _SOURCES:
            raise ModelError(
                f"model source '{name}' is registered twice",
                where=f"{cls.__module__}.{cls.__qualname__}",
                fix="choose another name",
            )
        _SOURCES[name] = cls()
        return cls

    return register


def source(name: str) -> Source:
    """Look up a model source.

    Raises
    ------
    UnknownKeyError
        If no source has this name.
    """
    if name not in _SOURCES:
        raise UnknownKeyError(f"unknown model source '{name}'", fix=did_you_mean(name, _SOURCES))
    return _SOURCES[name]


def source_names() -> Iterable[str]:
    """Names of all registered sources, sorted."""
    return sorted(_SOURCES)
