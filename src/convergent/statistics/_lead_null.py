"""Lags of simulated pairs of curves, with each measure's own noise and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ._lead_pair import QUIET, Pair
from ._onset import Curve, monotone

Array = NDArray[np.float64]


class _Noise:
    """Draws of the noise of one curve: resampling, and the scatter that it leaves unexplained."""

    def __init__(self, curve: Curve) -> None:
        self._deviations = curve.deviations
        self._sd = math.sqrt(max(curve.scatter**2 - curve.scatter_of_draws, 0.0))
        self._count = curve.value.size

    def draw(self, number: int, rng: np.random.Generator) -> Array:
        noise = self._sd * rng.standard_normal(self._count)
        if self._deviations is None or not len(self._deviations):
            return noise
        return np.asarray(noise + self._deviations[number % len(self._deviations)])


def simulated_lags(
    courses: Sequence[tuple[Array, Array]],
    pairs: Sequence[Pair],
    shares: Sequence[float],
    count: int,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Lags and scales of noisy copies, (simulation, pair, share) and (simulation, pair)."""
    noises = [(_Noise(pair.alignment), _Noise(pair.performance)) for pair in pairs]
    lags, sizes = np.empty((count, len(pairs), len(shares))), np.empty((count, len(pairs)))
    for s in range(count):
        # one draw of stimuli and subjects for all pairs
        number = int(rng.integers(2**31))
        copies = [
            (mine + a.draw(number, rng), theirs + p.draw(number, rng))
            for (mine, theirs), (a, p) in zip(courses, noises, strict=True)
        ]
        lags[s], sizes[s] = measured_lags(copies, pairs, shares)
    return lags, sizes


def measured_lags(
    values: Sequence[tuple[Array, Array]], pairs: Sequence[Pair], shares: Sequence[float]
) -> tuple[Array, Array]:
    """Lags, (pair, share), and their scales, (pair,)."""
    lags, sizes = np.empty((len(pairs), len(shares))), np.empty(len(pairs))
    for i, ((mine, theirs), pair) in enumerate(zip(values, pairs, strict=True)):
        a, a_size = _crossings(mine, pair.alignment, shares)
        p, p_size = _crossings(theirs, pair.performance, shares)
        lags[i], sizes[i] = p - a, math.hypot(a_size, p_size)
    return lags, sizes


def _crossings(value: Array, curve: Curve, shares: Sequence[float]) -> tuple[Array, float]:
    """Onsets, and the noise in units of the range."""
    fit = monotone(value)
    rise = fit[-1] - fit[0]
    if rise <= 0:  # a copy that is all noise: its onset is anywhere
        return np.full(len(shares), curve.position.mean()), math.inf
    place = np.empty(len(shares))
    for k, share in enumerate(shares):
        target = fit[0] + share * rise
        after = max(int(np.searchsorted(fit, target)), 1)
        part = (target - fit[after - 1]) / (fit[after] - fit[after - 1])
        left, right = curve.position[after - 1], curve.position[after]
        place[k] = left + part * (right - left)
    noise = max(float(np.square(curve.rows @ value).sum()), (QUIET * rise) ** 2)
    return place, math.sqrt(noise + curve.bend) / float(rise)


def over_runs(runs: Sequence[str], likely: Array, rng: np.random.Generator) -> Array:
    """Means over resampled runs and seeds of likely lags, (draw, pair), (draw,)."""
    names = list(dict.fromkeys(runs))
    members = [np.array([i for i, run in enumerate(runs) if run == name]) for name in names]
    mean = np.empty(len(likely))
    for b, lags in enumerate(likely):
        picked = rng.integers(len(members), size=len(members))
        rows = np.concatenate([rng.choice(members[k], members[k].size) for k in picked])
        mean[b] = lags[rows].mean()
    if len(members) == 1:
        return mean
    # n runs drawn from n vary too little, by (n - 1) / n
    wider = math.sqrt(len(members) / (len(members) - 1))
    return np.asarray(mean.mean() + (mean - mean.mean()) * wider)
