"""Low-level baselines of sentences and stories."""

from __future__ import annotations

import zlib

import numpy as np

from convergent.brains._types import StimulusSet
from convergent.errors import DataError
from convergent.models._baseline import baseline
from convergent.models._options import Options


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
