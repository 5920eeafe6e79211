"""Images to pixel values: resize, crop, normalise."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from convergent.models.source import FILTERS, Options

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
        Share of the resized image's side that the centre crop keeps, in (0, 1].
    mean, std : tuple of float, length 3
        Per channel, for pixel values in [0, 1].
    interpolation : str
        Pillow filter.
    resize : {"crop", "squash"}
        Shorter side, or both sides, to ``size / crop``; then centre crop.
    """

    size: int
    crop: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize: str = "crop"

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
        method = Image.Resampling[self.interpolation.upper()]
        short, (wide, high) = math.floor(self.size / self.crop), picture.size
        scaled = [int(short * side / min(wide, high)) for side in (wide, high)]
        if self.resize == "squash":
            scaled = [short, short]
        if (wide, high) != tuple(scaled):
            picture = picture.resize((scaled[0], scaled[1]), method)
        left, top = (round((side - self.size) / 2) for side in scaled)
        return np.asarray(picture)[top : top + self.size, left : left + self.size]


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
        resize=options.choice("resize", own.resize if own else "crop", ("crop", "squash")),
    )
