"""From a module's output to one vector a stimulus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convergent.errors import LayerError, ModelError
from convergent.study.types import Model

if TYPE_CHECKING:
    import torch


_POOLINGS = {
    "tokens": ("mean", "last", "cls", "flatten"),
    "channels_first": ("mean", "spatial_mean", "flatten"),
    "channels_last": ("mean", "spatial_mean", "flatten"),
    "vector": ("none", "flatten"),
}
_AXES = {
    "tokens": ("item", "token", "feature"),
    "channels_first": ("item", "channel", "y", "x"),
    "channels_last": ("item", "y", "x", "channel"),
    "vector": ("item", "feature"),
}
_FEATURE_AXIS = {"tokens": 2, "channels_first": 1, "channels_last": 3, "vector": 1}


def check_pooling(model: Model, design: str | None = None) -> None:
    """Check that a row's layout and pooling fit each other, its modality and the design.

    Raises
    ------
    ModelError
        Naming the poolings that would.
    """
    allowed = list(_POOLINGS.get(model.layout, ()))
    if model.modality == "language" and "flatten" in allowed and model.layout == "tokens":
        allowed.remove("flatten")  # texts differ in length
    if design == "story":
        allowed = [pooling for pooling in allowed if pooling in ("mean", "last")]
        if model.layout != "tokens":
            allowed = []  # words are found among tokens
    if model.pooling in allowed:
        return
    what = f"pooling '{model.pooling}' does not go with layout '{model.layout}'"
    what += f" of a {model.modality} model" + (" on a story" if design == "story" else "")
    raise ModelError(
        what,
        where=f"model '{model.key}'",
        fix=f"use pooling {', '.join(allowed)}" if allowed else "use layout tokens",
    )


@dataclass(frozen=True)
class Segments:
    """Which tokens of a batch make up each result row.

    Attributes
    ----------
    item, token : ndarray of int64, shape (member,)
        Positions of the tokens, grouped by row.
    start : ndarray of int64, shape (row,)
        First member of each row.
    """

    item: np.ndarray
    token: np.ndarray
    start: np.ndarray


def checked_output(
    output: Any,
    *,
    layer: str,
    width: int,
    layout: str,
    items: int,
    tokens: int | None,
    tuple_outputs: bool,
    where: str,
) -> torch.Tensor:
    """Check a module's output against the declared layout and width.

    Parameters
    ----------
    output : Tensor or tuple
    layer, width, layout : str, int, str
        As declared.
    items : int
        Size of the batch.
    tokens : int or None
        Number of tokens of a text batch.
    tuple_outputs : bool
        Whether the first element of a tuple may be taken.
    where : str
        For the error message.

    Raises
    ------
    LayerError
        With the module and the shapes.
    """
    import torch

    tensor = output
    if tuple_outputs and isinstance(output, (tuple, list)) and output:
        tensor = output[0]
    place = f"{where}, layer '{layer}'"
    if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
        raise LayerError(
            f"the module returns {_shapes(output)}, not one tensor of activations",
            where=place,
            fix="list a module inside or after it that returns a tensor",
        )
    axes, axis = _AXES[layout], _FEATURE_AXIS[layout]
    declared = f"({', '.join(axes)}) with {width} in '{axes[axis]}'"
    fits = tensor.ndim == len(axes) and tensor.shape[0] == items and tensor.shape[axis] == width
    if fits and layout == "tokens" and tokens is not None:
        fits = tensor.shape[1] == tokens
    if not fits:
        raise LayerError(
            f"output {_shapes(output)} for {items} items is not {declared}",
            where=place,
            fix="correct layout, width or layers in the models table",
        )
    return tensor


def pool(
    output: torch.Tensor,
    *,
    layout: str,
    pooling: str,
    mask: torch.Tensor | None,
    skip: int,
    segments: Segments | None = None,
) -> np.ndarray:
    """Pool a checked output in float32.

    Parameters
    ----------
    output : Tensor
        Axes of ``layout``.
    layout, pooling : str
    mask : Tensor of bool, shape (item, token), optional
        Real tokens; padding never counts.
    skip : int
        Leading tokens that a mean leaves out (class token, registers, attention sink).
    segments : Segments, optional
        For stories: average (or take the last of) these tokens instead.

    Returns
    -------
    ndarray of float32, shape (row, feature)
        A row is an item, or a segment.
    """

    if segments is not None:
        return _pool_segments(output, segments, pooling, mask)
    if layout == "tokens" and pooling != "flatten":
        pooled = _pool_tokens(output, pooling, mask, skip)
    elif layout == "channels_first" and pooling != "flatten":
        pooled = output.float().mean(dim=(2, 3))
    elif layout == "channels_last" and pooling != "flatten":
        pooled = output.float().mean(dim=(1, 2))
    else:
        pooled = output.float().flatten(1)
    result: np.ndarray = pooled.cpu().numpy()
    # A copy: the memory of a view may be overwritten by later in-place operations.
    return np.array(result, dtype=np.float32)


def _pool_tokens(
    output: torch.Tensor, pooling: str, mask: torch.Tensor | None, skip: int
) -> torch.Tensor:
    import torch

    if mask is None:
        mask = torch.ones(output.shape[:2], dtype=torch.bool, device=output.device)
    mask = mask.to(output.device)
    rows = torch.arange(len(output), device=output.device)
    # Real tokens are counted, wherever the padding is.
    number = mask.cumsum(dim=1)
    if pooling == "cls":
        return output[rows, _first(mask)].float()
    if pooling == "last":
        return output[rows, mask.shape[1] - 1 - _first(mask.flip(1))].float()
    kept = mask & (number > skip)
    # where, not a product: activations of padding may be infinite
    values = torch.where(kept[..., None], output.float(), 0.0)
    return values.sum(dim=1) / kept.sum(dim=1, keepdim=True)


def _first(mask: torch.Tensor) -> torch.Tensor:
    """Position of the first real token of each item, (item,)."""
    return mask.int().argmax(dim=1)


def _pool_segments(
    output: torch.Tensor, segments: Segments, pooling: str, mask: torch.Tensor | None
) -> np.ndarray:
    import torch

    item = torch.from_numpy(segments.item).to(output.device)
    token = torch.from_numpy(segments.token).to(output.device)
    if mask is not None:
        token = token + _first(mask.to(output.device))[item]
    members = output[item, token].float().cpu().numpy()
    return _reduce(members, segments.start, pooling)


def _reduce(members: np.ndarray, start: np.ndarray, pooling: str) -> np.ndarray:
    stop = np.append(start[1:], len(members))
    if pooling == "last":
        lasts: np.ndarray = members[stop - 1]
        return lasts
    sums = np.add.reduceat(members, start, axis=0)
    means: np.ndarray = (sums / (stop - start)[:, None]).astype(np.float32)
    return means


def _shapes(output: Any) -> str:
    if isinstance(output, (tuple, list)):
        return f"{type(output).__name__} of {', '.join(_shapes(part) for part in output)}"
    shape = getattr(output, "shape", None)
    if shape is None:
        return type(output).__name__
    return f"{str(getattr(output, 'dtype', '')).removeprefix('torch.')} {tuple(shape)}"
