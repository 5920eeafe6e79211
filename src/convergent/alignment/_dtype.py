"""How precisely the linear algebra runs."""

from __future__ import annotations

import torch

from convergent.errors import ConfigError

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def resolve_dtype(name: str) -> torch.dtype:
    """Turn ``float32`` or ``float64`` into a torch dtype.

    Raises
    ------
    ConfigError
        Any other name.
    """
    if name not in DTYPES:
        raise ConfigError(f"dtype '{name}' is not supported", fix="use float32 or float64")
    return DTYPES[name]
