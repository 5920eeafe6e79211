"""Convergent: do AI models that perform better represent the world like the human brain?"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Study": "convergent.study",
    "open_dataset": "convergent.store",
    "read_measurements": "convergent.tables.frames",
}


def __getattr__(name: str) -> Any:
    # imported when they are asked for: the command line starts without array libraries
    if name not in _HOMES:
        raise AttributeError(f"module 'convergent' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
