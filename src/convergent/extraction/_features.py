"""What extraction returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class LayerFeatures:
    """One layer's activations for all stimuli of a data set.

    Attributes
    ----------
    layer : str
    features : ndarray of float32, shape (stimulus, feature)
        In the order of the stimulus set.
    status : {"ok", "failed"}
        ``failed`` when the features are not finite; they are returned as they came out.
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
    features: np.ndarray
    status: Literal["ok", "failed"]
    reason: str
    width: int
    pooled_width: int
    projected: bool
    truncated: int = 0


def judged(
    layer: str,
    features: np.ndarray,
    ids: np.ndarray,
    *,
    width: int,
    pooled_width: int,
    projected: bool,
    truncated: int = 0,
) -> LayerFeatures:
    """Wrap features, marked as failed if any is NaN or infinite.

    Parameters
    ----------
    layer : str
    features : ndarray of float32, shape (stimulus, feature)
    ids : ndarray of str, shape (stimulus,)
        For the reason.
    width, pooled_width, projected, truncated
        See `LayerFeatures`.
    """
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    reason = ""
    if bad.size:
        reason = f"NaN or infinity for {bad.size} of {len(features)} stimuli (first: {ids[bad[0]]})"
    return LayerFeatures(
        layer=layer,
        features=features,
        status="failed" if reason else "ok",
        reason=reason,
        width=width,
        pooled_width=pooled_width,
        projected=projected,
        truncated=truncated,
    )
