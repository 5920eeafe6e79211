"""Baselines: features computed from the stimuli, without weights."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convergent.brains.types import Design, StimulusSet
from convergent.errors import DataError, ModelError
from convergent.models.source import LoadedBaseline, LoadedModel, LoadRequest, Options
from convergent.registry import BASELINES
from convergent.study.types import Checkpoint, Modality, Model

Compute = Callable[[StimulusSet, Options], np.ndarray]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline: a function of stimuli, and what it is for.

    Attributes
    ----------
    compute : callable
        From a `StimulusSet` and the row's `Options` to an array (stimulus, feature), one row per
        stimulus in the set's order.
    modality : {"vision", "language"}
    design : {"items", "story"} or None
        The only design that the baseline makes sense for; None: both.
    options : frozenset of str
        Keys that the row's ``preprocessing`` may use.
    """

    compute: Compute
    modality: Modality
    design: Design | None = None
    options: frozenset[str] = frozenset()

    def __call__(self, stimuli: StimulusSet, options: Options) -> np.ndarray:
        """Compute the features, (stimulus, feature)."""
        return self.compute(stimuli, options)


def baseline(
    modality: Modality, design: Design | None = None, options: Iterable[str] = ()
) -> Callable[[Compute], Baseline]:
    """Make a baseline of a function; its name is the one in `convergent.registry.BASELINES`.

    Parameters
    ----------
    modality, design, options
        See `Baseline`.
    """
    return lambda compute: Baseline(compute, modality, design, frozenset(options))


class BaselineSource:
    """Controls: their reference is a baseline's name, their options the baseline's own."""

    options: frozenset[str] = frozenset()  # each baseline checks its own
    weight_names: tuple[str, ...] = ()
    config_patterns: tuple[str, ...] = ()

    def hub_id(self, architecture: str, reference: str) -> str:
        """Baselines have no weights."""
        raise ModelError("baselines have no weights", fix="leave the reference a baseline's name")

    def load(self, request: LoadRequest, directory: Path | None) -> LoadedModel:
        """Baselines have no network."""
        raise ModelError("baselines have no network", where=request.where, fix="call load()")


def load_baseline(model: Model, checkpoint: Checkpoint) -> LoadedBaseline:
    """Look up a control's function and check its options.

    Raises
    ------
    UnknownKeyError, PluginError
        If no baseline has the reference's name, or it cannot be used.
    ModelError
        If the row's modality, options or role do not fit the baseline.
    """
    where = f"model '{model.key}'"
    name = model.reference
    baseline: Baseline = BASELINES.load(name, where)
    if checkpoint.role == "random":
        raise ModelError(
            f"baseline '{name}' has no weights to draw at random",
            where=f"{where}, checkpoint '{checkpoint.name}'",
            fix="remove the checkpoint's row",
        )
    if model.modality != baseline.modality:
        raise ModelError(
            f"baseline '{name}' is for {baseline.modality}, the row says {model.modality}",
            where=where,
            fix="correct the modality column",
        )
    options = Options(model, baseline.options)

    def compute(stimuli: StimulusSet) -> np.ndarray:
        if baseline.design not in (None, stimuli.design):
            raise ModelError(
                f"baseline '{name}' is for {baseline.design}, "
                f"data set '{stimuli.name}' is {stimuli.design}",
                where=where,
                fix="leave the model out of this data set",
            )
        return np.asarray(baseline.compute(stimuli, options), dtype=np.float32)

    return LoadedBaseline(name, compute)


@baseline("language", "items")
def text_length(stimuli: StimulusSet, options: Options) -> np.ndarray:
    """Characters, words and characters a word of each text: 3 features."""
    rows = []
    for text in _texts(stimuli):
        words = text.split()
        letters = sum(map(len, words))
        rows.append((len(text), len(words), letters / max(1, len(words))))
    return np.array(rows, dtype=np.float64)


@baseline("language", None, ("n", "features"))
def character_ngrams(stimuli: StimulusSet, options: Options) -> np.ndarray:
    """Counts of character n-grams, hashed into ``features`` (256) bins; ``n`` is 3."""
    n, features = options.integer("n", 3), options.integer("features", 256)
    texts = _texts(stimuli)
    counts = np.zeros((len(texts), features))
    for row, text in enumerate(texts):
        padded = f" {text.lower()} "
        for start in range(max(1, len(padded) - n + 1)):
            # CRC-32 is the same everywhere, unlike Python's own hash.
            counts[row, zlib.crc32(padded[start : start + n].encode()) % features] += 1
    return counts


@baseline("language", "story")
def word_rate(stimuli: StimulusSet, options: Options) -> np.ndarray:
    """One for every word: summed over a volume's time it is the number of words."""
    return np.ones((len(_texts(stimuli)), 1))


@baseline("language", "story")
def word_length(stimuli: StimulusSet, options: Options) -> np.ndarray:
    """Letters of each word: 1 feature."""
    return np.array([[len(word)] for word in _texts(stimuli)], dtype=np.float64)


@baseline("language", "story", ("degree",))
def position(stimuli: StimulusSet, options: Options) -> np.ndarray:
    """Legendre polynomials of story time: ``degree`` (3) features.

    Time is a word's onset (its index where the data have no onsets), scaled to [-1, 1].
    Leakage between splits shows itself as a high score of this baseline.
    """
    degree, number = options.integer("degree", 3), len(_texts(stimuli))
    time = np.arange(number, dtype=np.float64) if stimuli.onset is None else stimuli.onset
    span = float(np.ptp(time)) or 1.0
    scaled = 2.0 * (time - time.min()) / span - 1.0
    return np.polynomial.legendre.legvander(scaled, degree)[:, 1:]


def _texts(stimuli: StimulusSet) -> tuple[str, ...]:
    if stimuli.texts is None:
        raise DataError("no texts", where=f"data set '{stimuli.name}'", fix="use a vision baseline")
    return stimuli.texts


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
