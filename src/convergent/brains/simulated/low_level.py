"""Low-level features that drive the early regions, computed from the stimuli alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ORIENTATIONS = 4
WAVELENGTHS = (4.0, 8.0, 16.0)  # pixels
GRID = 3  # cells a side
CHANNELS = ORIENTATIONS * len(WAVELENGTHS) + 1


def gabor_energies(images: NDArray[np.uint8]) -> Array:
    """Log energies of oriented band-pass filters, and luminance, on a grid of cells.

    Parameters
    ----------
    images : ndarray of uint8, shape (stimulus, y, x, 3)

    Returns
    -------
    ndarray, shape (stimulus, channel, cell)
        Twelve filters (4 orientations x 3 wavelengths) and the mean grey level; 9 cells.
    """
    grey = images.mean(axis=-1)
    side = grey.shape[1]
    spectrum = np.fft.fft2(grey - grey.mean(axis=(1, 2), keepdims=True))
    maps = [np.log(np.abs(np.fft.ifft2(spectrum * kernel)) + 1.0) for kernel in _filters(side)]
    maps.append(grey)
    cells = np.stack(maps, axis=1).reshape(
        len(images), CHANNELS, GRID, side // GRID, GRID, side // GRID
    )
    energies: Array = cells.mean(axis=(3, 5)).reshape(len(images), CHANNELS, GRID * GRID)
    return energies


def _filters(side: int) -> list[Array]:
    frequency = np.fft.fftfreq(side)
    v, u = np.meshgrid(frequency, frequency, indexing="ij")
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    radius[0, 0] = 1.0  # its gain is set to 0 below
    filters = []
    for wavelength in WAVELENGTHS:
        band = np.exp(-(np.log2(radius * wavelength) ** 2) / (2 * 0.5**2))
        band[0, 0] = 0.0
        for step in range(ORIENTATIONS):
            off = angle - np.pi * step / ORIENTATIONS
            off = np.arctan2(np.sin(off), np.cos(off))
            # One side of the spectrum only: the magnitude is then that of a quadrature pair.
            filters.append(band * np.exp(-(off**2) / (2 * (np.pi / 6) ** 2)))
    return filters


def text_features(texts: Sequence[str]) -> Array:
    """Count what can be seen in a text without understanding it.

    Parameters
    ----------
    texts : sequence of str

    Returns
    -------
    ndarray, shape (stimulus, feature)
        Characters; words; mean, spread and maximum of word length; share of words of up to three
        letters; commas; other punctuation; capitals; share of vowels.
    """
    rows = []
    for text in texts:
        words = re.findall(r"[A-Za-z]+", text)
        lengths = np.array([len(word) for word in words], dtype=np.float64)
        letters = lengths.sum()
        rows.append(
            (
                len(text),
                len(words),
                lengths.mean(),
                lengths.std(),
                lengths.max(),
                (lengths <= 3).mean(),
                text.count(","),
                len(re.findall(r"[^\w\s,]", text)),
                sum(letter.isupper() for letter in text),
                sum(letter in "aeiouAEIOU" for letter in text) / letters,
            )
        )
    return np.array(rows, dtype=np.float64)
