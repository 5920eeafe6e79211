"""Images to pixel values: resize, crop, normalise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from convergent.errors import ModelError
from convergent.models.source import FILTERS, RESIZES, Options

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class ImageTransform:
    """The deterministic preprocessing of a vision model.

    Attributes
    ----------
    size : int
        Side of the square input in pixels.
    crop : float
        Share of the resized image's side that the centre crop keeps. Above 1, the image is
        smaller than the input and what lies around it is filled.
    mean, std : tuple of float, length 3
        Per channel, for pixel values in [0, 1].
    interpolation : str
        Pillow filter.
    resize : {"crop", "squash", "longest"}
        Shorter side, both sides, or longer side to ``size / crop``; then the centre is cut out,
        or the image filled up around it.
    fill : tuple of int, length 3
        Colour, 0 to 255, around an image that is smaller than the input.

    Notes
    -----
    The same as timm's modes ``center``, ``squash`` and ``border`` (filled with the mean colour),
    and as open_clip's ``shortest``, ``squash`` and ``longest`` (filled with ``fill_color``).
    """

    size: int
    crop: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize: str = "crop"
    fill: tuple[int, ...] = (0, 0, 0)

    def __call__(self, images: np.ndarray) -> torch.Tensor:
        """Transform images.

        Parameters
        ----------
        images : ndarray of uint8, shape (item, y, x, 3)

        Returns
        -------
        Tensor of float32, shape (item, 3, size, size)
        """
        import torch

        pixels = np.stack([self._fit(image) for image in images]).astype(np.float32) / 255.0
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        pixels = (pixels - mean) / std
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))

    def describe(self) -> dict[str, object]:
        """What is done, for provenance."""
        return asdict(self)

    def _fit(self, image: np.ndarray) -> np.ndarray:
        from PIL import Image

        picture = Image.fromarray(image)
        scaled = self._scaled(*picture.size)
        if picture.size != scaled:
            picture = picture.resize(scaled, Image.Resampling[self.interpolation.upper()])
        pixels = np.asarray(picture)
        pad = [max(self.size - side, 0) for side in pixels.shape[:2]]
        if any(pad):
            canvas = np.empty((*np.add(pixels.shape[:2], pad), 3), dtype=np.uint8)
            canvas[...] = self.fill
            top, left = (side // 2 for side in pad)
            canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
            pixels = canvas
        top, left = (round((side - self.size) / 2) for side in pixels.shape[:2])
        return pixels[top : top + self.size, left : left + self.size]

    def _scaled(self, wide: int, high: int) -> tuple[int, int]:
        """Size before the centre is cut out; rounded as timm and torchvision round."""
        side = math.floor(self.size / self.crop)
        if self.resize == "squash":
            return side, side
        if self.resize == "longest":
            ratio = max(wide / side, high / side)
            return max(round(wide / ratio), 1), max(round(high / ratio), 1)
        short = min(wide, high)
        return int(side * wide / short), int(side * high / short)


def image_transform(options: Options, default: ImageTransform | None = None) -> ImageTransform:
    """Take the transform from the row, and what the row leaves out from the model's own.

    Raises
    ------
    ModelError
        If neither gives a size, mean or standard deviation.
    """
    own = default
    return ImageTransform(
        size=options.integer("size", own.size if own else None),
        crop=options.floats("crop", (own.crop if own else 1.0,), 1)[0],
        mean=options.floats("mean", own.mean if own else None, 3),
        std=options.floats("std", own.std if own else None, 3),
        interpolation=options.choice(
            "interpolation", own.interpolation if own else "bicubic", FILTERS
        ),
        resize=options.choice("resize", own.resize if own else "crop", RESIZES),
        fill=tuple(map(int, options.floats("fill", own.fill if own else (0.0,) * 3, 3))),
    )


def square(size: int | Sequence[int]) -> int:
    """Side of a network's square input.

    Raises
    ------
    ModelError
        Its input is not square.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(set(sides)) != 1:
        raise ModelError(
            f"the network takes images of {' x '.join(map(str, sides))} pixels",
            where="its own preprocessing",
            fix="use one with a square input, which is what images are cut to here",
        )
    return int(sides[0])


def resize_named(mode: str, names: Mapping[str, str]) -> str:
    """Our name of another library's way with images that are not square.

    Raises
    ------
    ModelError
        A way that is not known here.
    """
    if mode not in names:
        raise ModelError(
            f"images are fitted by '{mode}'",
            where="the network's own preprocessing",
            fix=f"known: {', '.join(names)}; or give resize in the preprocessing column",
        )
    return names[mode]
