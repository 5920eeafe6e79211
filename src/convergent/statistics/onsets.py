"""When a training curve has covered a share of its own range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from convergent.errors import DataError

Array = NDArray[np.float64]

SHARES = (0.1, 0.5, 0.9)
# A curve of fewer checkpoints says nothing of its own scatter.
FEWEST = 5
# A curve rises if 99 of 100 curves that are only noise have a smaller range.
_FLAT_CURVES, _FLAT_QUANTILE = 1000, 0.99


class Onset(NamedTuple):
    """Where a monotone fit reaches a share of its range.

    Attributes
    ----------
    position : float
        On the axis of the curve; NaN where undefined.
    before, after : float
        The checkpoints between which it lies.
    reason : str
        Why it is undefined; empty where it is not.
    """

    position: float
    before: float
    after: float
    reason: str = ""


@dataclass(frozen=True)
class Curve:
    """One measure over the checkpoints of one training run.

    Attributes
    ----------
    position : ndarray, shape (checkpoint,)
        Strictly increasing places on the axis of training, log10 of the step.
    value : ndarray, shape (checkpoint,)
        Higher is better.
    deviations : ndarray, shape (draw, checkpoint), optional
        What resampling (of stimuli, subjects) adds to the values. Without it all that is known of
        the noise is the scatter between neighbouring checkpoints.
    """

    position: Array
    value: Array
    deviations: Array | None = None

    @classmethod
    def of(
        cls, position: ArrayLike, value: ArrayLike, deviations: ArrayLike | None = None
    ) -> Curve:
        """Check and sort the checkpoints.

        Raises
        ------
        DataError
            Lengths differ, a place occurs twice, or a value is not finite.
        """
        x, y = np.asarray(position, dtype=np.float64), np.asarray(value, dtype=np.float64)
        d = None if deviations is None else np.asarray(deviations, dtype=np.float64)
        order = np.argsort(x, kind="stable")
        shapes = x.ndim == 1 and x.shape == y.shape and (d is None or d.shape[1:] == x.shape)
        if not shapes or not np.isfinite(x).all() or (np.diff(x[order]) <= 0).any():
            raise DataError(
                f"a training curve of {y.shape} values at {x.shape} places",
                where="onset",
                fix="give one value a checkpoint, each at its own step",
            )
        if not np.isfinite(y).all() or (d is not None and not np.isfinite(d).all()):
            raise DataError(
                "NaN or infinity in a training curve", where="onset", fix="leave out the checkpoint"
            )
        return cls(x[order], y[order], None if d is None else d[:, order])

    @cached_property
    def fit(self) -> Array:
        """Monotone (isotonic) least-squares fit, (checkpoint,)."""
        return monotone(self.value)

    @cached_property
    def range(self) -> float:
        """Rise of the fit from the first checkpoint to the last."""
        return float(self.fit[-1] - self.fit[0])

    @cached_property
    def scatter(self) -> float:
        """Standard deviation of the noise of one checkpoint, from neighbours; see `scatter`."""
        return scatter(self.position, self.value)

    @cached_property
    def rows(self) -> Array:
        """`scatter_rows` of its places."""
        return scatter_rows(self.position)

    @cached_property
    def scatter_of_draws(self) -> float:
        """Mean squared scatter of the deviations: what they add to that of neighbours."""
        d = self.deviations
        if d is None or not len(d):
            return 0.0
        return float(np.square(d @ self.rows.T).sum(axis=1).mean())

    @cached_property
    def bend(self) -> float:
        """Variance of the deviations that neighbouring checkpoints share, and scatter misses."""
        d = self.deviations
        if d is None or not len(d):
            return 0.0
        return max(float(d.var(axis=0).mean()) - self.scatter_of_draws, 0.0)

    @cached_property
    def unclear(self) -> str:
        """Why no onset can be read off; empty where it can."""
        if self.value.size < FEWEST:
            return f"fewer than {FEWEST} checkpoints"
        noise = self.scatter
        if self.range <= 0 or self.range < clear_range(tuple(self.position.tolist())) * noise:
            return "does not rise clearly above its own noise"
        return ""

    def onset(self, share: float) -> Onset:
        """First place at which the fit has covered a share of its own range.

        Parameters
        ----------
        share : float
            Between 0 and 1.
        """
        if self.unclear:
            return Onset(math.nan, math.nan, math.nan, self.unclear)
        return crossing(self.position, self.fit, share)


@lru_cache(maxsize=256)
def clear_range(position: tuple[float, ...]) -> float:
    """Range, in units of the scatter, that a curve of noise alone exceeds once in a hundred.

    By simulation of independent normal noise at these places, its scatter estimated as that of a
    measured curve is.
    """
    rng = np.random.default_rng(0)
    rows = scatter_rows(np.array(position))
    noise = rng.standard_normal((_FLAT_CURVES, len(position)))
    fits = np.stack([monotone(one) for one in noise])
    size = np.linalg.norm(noise @ rows.T, axis=1)
    return float(np.quantile((fits[:, -1] - fits[:, 0]) / size, _FLAT_QUANTILE))


def monotone(value: Array) -> Array:
    """Non-decreasing least-squares fit, shape (checkpoint,).

    References
    ----------
    Busing, J. Stat. Softw. 102 (2022): monotone regression, a simple and fast O(n) PAVA.
    """
    return np.asarray(isotonic_regression(value).x)


def crossing(position: Array, fit: Array, share: float) -> Onset:
    """Where a non-decreasing curve that rises reaches a share of its range, between checkpoints."""
    target = fit[0] + share * (fit[-1] - fit[0])
    after = max(int(np.searchsorted(fit, target)), 1)
    before = after - 1
    part = (target - fit[before]) / (fit[after] - fit[before])
    left, right = float(position[before]), float(position[after])
    return Onset(left + float(part) * (right - left), left, right)


def scatter(position: Array, value: Array) -> float:
    """Standard deviation of the noise of single checkpoints, whatever smooth course they follow.

    Each checkpoint is compared with the line between its neighbours. A course that bends between
    checkpoints adds to it, so that few checkpoints give too much rather than too little.

    Parameters
    ----------
    position, value : ndarray, shape (checkpoint,)
        NaN for fewer than three.

    References
    ----------
    Gasser, Sroka & Jennen-Steinmetz, Biometrika 73 (1986) 625-633.
    """
    if position.size < 3:
        return math.nan
    return float(np.linalg.norm(scatter_rows(position) @ value))


def scatter_rows(position: Array) -> Array:
    """Rows whose products with the values are squared and summed to give the squared scatter.

    Shape (checkpoint - 2, checkpoint).
    """
    left = (position[2:] - position[1:-1]) / (position[2:] - position[:-2])
    size = np.sqrt(left**2 + (1 - left) ** 2 + 1)
    rows = np.zeros((position.size - 2, position.size))
    at = np.arange(position.size - 2)
    rows[at, at], rows[at, at + 1], rows[at, at + 2] = left / size, -1 / size, (1 - left) / size
    return rows / math.sqrt(len(rows))


Kind = Literal["continuous", "thresholded", "exponential"]

_FALLS = ("loss", "bits_per_byte", "bits_per_character", "nats", "ppl", "perplexity", "error")
_CONTINUOUS = ("loss", "bits_per_byte", "bits_per_character", "nats", "log_likelihood")
_EXPONENTIAL = ("ppl", "perplexity")


def rises(benchmark: str) -> bool:
    """Whether a better model scores higher: losses, bits a byte and perplexities fall.

    Parameters
    ----------
    benchmark : str
        Its name in the tables, for example ``probe_logloss``.
    """
    return not benchmark.lower().endswith(_FALLS)


def kind(benchmark: str) -> Kind:
    """What a measure is of the ability behind it.

    ``continuous`` measures (losses, bits a byte, log-likelihoods) move with every gain. Shares of
    right answers are ``thresholded``: a gain shows once it carries an item over a threshold.
    Perplexities are ``exponential``: nearly all of their range is lost in the first steps. A
    measure of unknown name counts as thresholded, of which least is claimed.

    Parameters
    ----------
    benchmark : str
    """
    name = benchmark.lower()
    if name.endswith(_EXPONENTIAL):
        return "exponential"
    return "continuous" if name.endswith(_CONTINUOUS) else "thresholded"
