"""A row's network without its weights, for inspection and checks."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

from convergent.errors import UnknownKeyError, did_you_mean
from convergent.models.inspect import Sketch
from convergent.study.types import Model

# Each module has a function `sketch(model, directory)`; it imports its library when called.
_MAKERS = {
    "timm": "convergent.zoo._sketch_timm",
    "open_clip": "convergent.zoo._sketch_open_clip",
    "transformers": "convergent.zoo._sketch_transformers",
}


class _Maker(Protocol):
    def __call__(self, model: Model, directory: Path | None) -> Sketch: ...


def sketch(model: Model, directory: Path | None = None) -> Sketch:
    """Build a model's network on the meta device, as its source would load it.

    Parameters
    ----------
    model : Model
        Source, architecture, modality and preprocessing options are used.
    directory : Path, optional
        In the hub's layout, with the configuration that the reference stands for; without
        one, the architecture column says what to build.

    Raises
    ------
    UnknownKeyError
        The source has no networks.
    ModelError
        The network cannot be built or run.
    """
    if model.source not in _MAKERS:
        raise UnknownKeyError(
            f"source '{model.source}' has no networks", fix=did_you_mean(model.source, _MAKERS)
        )
    maker = importlib.import_module(_MAKERS[model.source]).sketch
    return cast(_Maker, maker)(model, directory)
