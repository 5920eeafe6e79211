"""What a comparison says of each region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SimilarityScores:
    """Scores of one metric.

    NaN where a region is empty, or where the metric is not defined for either side.

    Attributes
    ----------
    scales : ndarray of float64, shape (scale,)
        NaN for a metric that has no scales.
    score : ndarray of float64, shape (scale, region)
    null : ndarray of float64, shape (permutation, scale, region) or None
        The same for permuted responses.
    half_score : ndarray of float64, shape (half, scale, region) or None
        The same from the stimuli of each half only.
    half_null : ndarray of float64, shape (permutation, half, scale, region) or None
    """

    scales: Floats
    score: Floats
    null: Floats | None = None
    half_score: Floats | None = None
    half_null: Floats | None = None

    @classmethod
    def of(
        cls, scales: Floats, parts: list[Floats], *, permuted: bool, halves: bool
    ) -> SimilarityScores:
        """Take the real data and the null apart.

        Parameters
        ----------
        scales : ndarray of float64, shape (scale,)
        parts : list of ndarray of float64, shape (1 + permutation, scale, region)
            All stimuli, then each half; the real data come first.
        permuted, halves : bool
            Whether there are any.
        """
        half = np.stack(parts[1:], axis=1) if halves else None
        return cls(
            scales,
            parts[0][0],
            parts[0][1:] if permuted else None,
            None if half is None else half[0],
            half[1:] if half is not None and permuted else None,
        )
