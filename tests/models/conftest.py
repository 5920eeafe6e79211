"""Rows of the models table, as the study gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from convergent.study._types import Checkpoint, Layer, Model


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    def make(layers: dict[str, int] | None = None, **columns: Any) -> Model:
        trained = Checkpoint("final", "trained", None, "", "", None, True)
        random = Checkpoint("random-0", "random", None, "", "", 0, False)
        row: dict[str, Any] = {
            "key": "tiny",
            "family": "tiny",
            "modality": "vision",
            "source": "timm",
            "reference": "",
            "revision": "",
            "architecture": "",
            "parameters": 1,
            "layout": "channels_first",
            "pooling": "mean",
            "precision": "float32",
            "preprocessing": {},
            "attention": "",
            "tags": (),
            "checkpoints": (trained, random),
        }
        listed = tuple(
            Layer(name, index, 0.0, width)
            for index, (name, width) in enumerate((layers or {"features": 1}).items())
        )
        return Model(layers=listed, **(row | columns))

    return make
