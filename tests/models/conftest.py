"""Rows of the models table, as the study gives them."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from convergent.study.types import Checkpoint, Layer, Model


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


@pytest.fixture(scope="session")
def write_tensors() -> Callable[[Path, bytes], None]:
    """A safetensors file of one tensor of bytes, without any library."""

    def write(path: Path, data: bytes) -> None:
        entry = {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}
        header = json.dumps({"x": entry}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + data)

    return write
