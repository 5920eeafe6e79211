"""Low-level visual baselines: pixels, and energies of oriented filters."""

from __future__ import annotations

import numpy as np

from convergent.brains._types import StimulusSet
from convergent.errors import DataError
from convergent.models._baseline import baseline
from convergent.models._options import Options


@baseline("vision", "items", ("size",))
def pixels(stimuli: StimulusSet, options: Options) -> np.ndarray:
    """Small colour images: ``size * size * 3`` values in [0, 1] (size 16 unless given)."""
    size = options.integer("size", 16)
    return np.stack([_shrunk(image, size).ravel() for image in _images(stimuli)])


@baseline("vision", "items", ("size", "orientations", "scales", "grid"))
def gabor(stimuli: StimulusSet, options: Options) -> np.ndarray:
    """Energies of oriented band-pass filters over a grid of positions.

    The image's luminance is filtered, in the Fourier domain, by quadrature pairs whose
    frequencies halve from a quarter of the sampling rate, one octave apart and one octave
    wide; the magnitude of each response is averaged in each cell of the grid. The features
    are those of the spatial envelope (GIST).

    Options: ``size`` 64 pixels, ``orientations`` 8, ``scales`` 4, ``grid`` 4; the width is
    ``orientations * scales * grid ** 2``.

    References
    ----------
    Oliva, A., & Torralba, A. (2001). Modeling the shape of the scene: a holistic
    representation of the spatial envelope. Int. J. Computer Vision, 42, 145-175.
    """
    size, grid = options.integer("size", 64), options.integer("grid", 4)
    orientations, scales = options.integer("orientations", 8), options.integer("scales", 4)
    if size % grid:
        raise DataError(
            f"size {size} is not a multiple of grid {grid}",
            where="baseline 'gabor'",
            fix="choose size and grid accordingly",
        )
    filters = _filters(size, orientations, scales)
    rows = []
    for image in _images(stimuli):
        grey = _shrunk(image, size).mean(axis=2)
        spectrum = np.fft.fft2(grey - grey.mean())
        energy = np.abs(np.fft.ifft2(spectrum * filters, axes=(1, 2)))
        cells = energy.reshape(len(filters), grid, size // grid, grid, size // grid)
        rows.append(cells.mean(axis=(2, 4)).ravel())
    return np.stack(rows)


def _filters(size: int, orientations: int, scales: int) -> np.ndarray:
    """One-sided transfer functions, shape (scale * orientation, size, size)."""
    fy, fx = np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size), indexing="ij")
    radius, angle = np.hypot(fx, fy), np.arctan2(fy, fx)
    with np.errstate(divide="ignore"):
        octave = np.log2(radius)  # -inf at the mean, where every filter is zero
    bank = []
    for scale in range(scales):
        radial = np.exp(-0.5 * ((octave - np.log2(0.25 / 2**scale)) / 0.5) ** 2)
        for index in range(orientations):
            turn = np.angle(np.exp(1j * (angle - np.pi * index / orientations)))
            bank.append(radial * np.exp(-0.5 * (turn / (np.pi / orientations)) ** 2))
    return np.stack(bank)


def _images(stimuli: StimulusSet) -> np.ndarray:
    if stimuli.images is None:
        raise DataError(
            "no images", where=f"data set '{stimuli.name}'", fix="use a language baseline"
        )
    return stimuli.images


def _shrunk(image: np.ndarray, size: int) -> np.ndarray:
    from PIL import Image

    picture = Image.fromarray(image).resize((size, size), Image.Resampling.BOX)
    return np.asarray(picture, dtype=np.float64) / 255.0
