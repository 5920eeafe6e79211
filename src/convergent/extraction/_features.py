"""What extraction returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class LayerSummary:
    """What there is to say about one layer's activations for all stimuli of a data set.

    Attributes
    ----------
    layer : str
    status : {"ok", "failed"}
        ``failed`` when an activation is not finite, or beyond what the stored type holds.
    reason : str
        Why the layer failed; empty otherwise.
    width : int
        Declared width of the module's output.
    pooled_width : int
        Features after pooling, before projection.
    projected : bool
        Whether a random projection was applied.
    truncated : int
        Number of texts that were longer than the model can read.
    """

    layer: str
    status: Literal["ok", "failed"]
    reason: str
    width: int
    pooled_width: int
    projected: bool
    truncated: int = 0


@dataclass(frozen=True, kw_only=True)
class LayerFeatures(LayerSummary):
    """A layer's activations themselves.

    Attributes
    ----------
    features : ndarray of float32 or float16, shape (stimulus, feature)
        In the order of the stimulus set. Those of a failed layer are as they came out.
    """

    features: np.ndarray
