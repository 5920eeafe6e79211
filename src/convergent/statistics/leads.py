"""Which of two training curves comes first, against curves that move together.

The lag of a share q is the difference of onset times, log10 t_q(performance) minus
log10 t_q(alignment): positive where alignment comes first. Two curves of different noise or
different checkpoints have onsets that differ by themselves, so that the lag is compared with those
of pairs that are simulated from one common course with each measure's own noise and checkpoints.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import isotonic_regression

from convergent.statistics.correlation import is_constant
from convergent.statistics.onsets import SHARES, Curve, Onset, monotone, rises

Array = NDArray[np.float64]

# Smallest noise, in units of the range, that a curve is taken to have.
QUIET = 1e-3


@dataclass(frozen=True)
class Pair:
    """Alignment and performance of one training run, on one axis.

    Attributes
    ----------
    name : str
    alignment, performance : Curve
        Deviations of one draw number belong to one resample of stimuli and subjects, in every
        pair.
    run : str
        Runs of one name differ by their seed only.
    """

    name: str
    alignment: Curve
    performance: Curve
    run: str = ""

    @cached_property
    def unclear(self) -> str:
        """Why there is no lag; empty where there is."""
        sides = (("alignment", self.alignment), ("performance", self.performance))
        return "; ".join(f"{name}: {side.unclear}" for name, side in sides if side.unclear)

    @cached_property
    def common(self) -> tuple[Array, Array]:
        """The course that both would follow if neither led, at the checkpoints of each.

        Both curves, in units of their own ranges, are fitted together by one monotone curve, each
        weighted by its noise.
        """
        sides = (self.alignment, self.performance)
        place = np.concatenate([side.position for side in sides])
        share = np.concatenate([(side.value - side.fit[0]) / side.range for side in sides])
        # a curve without any scatter would be taken for the whole truth
        quiet = [max(math.sqrt(side.scatter**2 + side.bend) / side.range, QUIET) for side in sides]
        sizes = [side.value.size for side in sides]
        weight = np.repeat([1 / noise**2 for noise in quiet], sizes)
        at, index = np.unique(place, return_inverse=True)
        total = np.bincount(index, weight)
        course = isotonic_regression(np.bincount(index, weight * share) / total, weights=total).x
        course = (course - course[0]) / (course[-1] - course[0])
        mine, theirs = (
            side.fit[0] + side.range * np.interp(side.position, at, course) for side in sides
        )
        return mine, theirs


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


@dataclass(frozen=True)
class Lead:
    """One lag, its interval, and what pairs without a lead give.

    Attributes
    ----------
    share : float
    lag : float
        Mean over pairs, in decades of steps; positive where alignment comes first. NaN where
        undefined.
    low, high : float
        95 % bootstrap interval.
    null_mean, null_low, null_high : float
        Lags of 95 % of the simulations without a lead.
    p : float
        Two-sided.
    lags : ndarray, shape (pair,)
    onsets : tuple of (Onset, Onset)
        Of alignment and performance, a pair each.
    """

    share: float
    lag: float
    low: float
    high: float
    null_mean: float
    null_low: float
    null_high: float
    p: float
    lags: Array
    onsets: tuple[tuple[Onset, Onset], ...]

    @property
    def resolved(self) -> float:
        """Share of pairs whose onsets do not fall between the same checkpoints."""
        apart = [a.after <= p.before or p.after <= a.before for a, p in self.onsets if not a.reason]
        return float(np.mean(apart)) if apart else math.nan


def leads(
    pairs: Sequence[Pair],
    *,
    shares: Sequence[float] = SHARES,
    draws: int = 1000,
    seed: int = 0,
) -> list[Lead]:
    """Lag of performance behind alignment, over training runs, at each share of the range.

    The null simulates each pair from its common course (`Pair.common`). The statistic is the lag
    over its scale sqrt(sum of (noise / range)^2 of all curves), estimated anew in each
    simulation as a t statistic's is; p is two-sided, twice the smaller tail, for unequal noise
    moves the middle of the null too.

    The interval draws anew what was sampled: stimuli and subjects (the deviations of the curves,
    one draw for all pairs), the scatter of checkpoints, seeds within runs, and runs where there
    are several. What a draw does to a lag is taken from the simulations, as a bootstrap-t: drawn
    from the fits of the curves themselves, which are stairs, crossings would stick to the steps.

    Parameters
    ----------
    pairs : sequence of Pair
        Those without a clear rise are left out.
    shares : sequence of float
    draws : int
        Simulations, which also serve the interval.
    seed : int

    Returns
    -------
    list of Lead
        One a share.

    References
    ----------
    Davison & Hinkley, Bootstrap Methods and their Application (1997), sections 2.4 and 4.4; Sen,
    Banerjee & Woodroofe, Ann. Stat. 38 (2010) 1953-1977 (the bootstrap of monotone fits fails).
    """
    clear = [pair for pair in pairs if not pair.unclear]
    onsets = [
        tuple((pair.alignment.onset(q), pair.performance.onset(q)) for pair in clear)
        for q in shares
    ]
    if not clear:
        return [_undefined(q) for q in shares]
    rng = np.random.default_rng(seed)
    lag, size = measured_lags(
        [(pair.alignment.value, pair.performance.value) for pair in clear], clear, shares
    )
    null, null_size = simulated_lags([pair.common for pair in clear], clear, shares, draws, rng)
    names = [pair.run or pair.name for pair in clear]
    found = []
    for k, q in enumerate(shares):
        mean, around = float(lag[:, k].mean()), null[:, :, k].mean(axis=1)
        scale = np.sqrt(np.square(null_size).sum(axis=1)) / len(clear)
        t = mean / (math.sqrt(float(np.square(size).sum())) / len(clear))
        likely = lag[:, k] - size * null[:, :, k] / null_size
        low, high = np.quantile(over_runs(names, likely, rng), (0.025, 0.975))
        null_low, null_high = np.quantile(around, (0.025, 0.975))
        found.append(
            Lead(
                share=q,
                lag=mean,
                low=float(low),
                high=float(high),
                null_mean=float(around.mean()),
                null_low=float(null_low),
                null_high=float(null_high),
                p=_two_sided(t, around / scale),
                lags=lag[:, k],
                onsets=onsets[k],
            )
        )
    return found


def _two_sided(found: float, null: Array) -> float:
    below, above = int((null <= found).sum()), int((null >= found).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + null.size))


def _undefined(share: float) -> Lead:
    nan = math.nan
    return Lead(share, nan, nan, nan, nan, nan, nan, nan, np.empty(0), ())


RESAMPLED_COLUMNS = (
    "dataset", "model", "checkpoint", "subject", "choice", "resample", "alignment",
)  # fmt: skip
_SEED = re.compile(r"(?:^|[-_.])seed[-_]?(\d+)(?=$|[-_.])", re.IGNORECASE)
_DRAWS = 500


class Run(NamedTuple):
    """One training run: a model, and the seed that tells it from others of the same name."""

    model: str
    seed: str


def run_of(model: str, checkpoint: str) -> Run:
    """Tell runs apart that differ by their seed only, by ``seed<number>`` in a name.

    Parameters
    ----------
    model, checkpoint : str
        ``pythia-160m-seed3`` is run 3 of ``pythia-160m``; so is checkpoint ``step512-seed3`` of it.
    """
    for text in (model, checkpoint):
        found = _SEED.search(text)
        if found:
            return Run(_SEED.sub("", model), found.group(1))
    return Run(model, "")


class Subjects:
    """What resampling subjects and stimuli adds to the alignment of one data set.

    Draw number d takes the same subjects and the same resample of the stimuli for every model and
    checkpoint, so that what these share stays shared.

    Parameters
    ----------
    subjects : DataFrame
        model, checkpoint, choice, subject, alignment.
    resampled : DataFrame
        The same with ``resample``; empty where stimuli were not resampled.
    seed : int
    """

    def __init__(self, subjects: pl.DataFrame, resampled: pl.DataFrame, seed: int) -> None:
        self.names = sorted(subjects["subject"].unique().to_list())
        self.resamples = resampled["resample"].n_unique() if len(resampled) else 0
        keys = ("model", "checkpoint", "choice")
        self._means = _lookup(subjects, keys, self.names)
        self._resampled = {
            key: part.sort("resample").select(self.names).to_numpy()
            for key, part in _wide(resampled, (*keys, "resample"), self.names).group_by(keys)
        }
        rng = np.random.default_rng(seed)
        n = len(self.names)
        self._picked = rng.integers(n, size=(_DRAWS, n))
        self._resample = rng.integers(max(self.resamples, 1), size=_DRAWS)

    def deviations(self, model: str, checkpoints: list[str], choice: str) -> Array | None:
        """Deviations of the mean over subjects, (draw, checkpoint); None where nothing is known."""
        n = len(self.names)
        means = [self._means.get((model, name, choice)) for name in checkpoints]
        if any(m is None or np.isnan(m).any() for m in means):
            return None
        table = np.stack([m for m in means if m is not None])
        weight = np.stack([np.bincount(one, minlength=n) for one in self._picked]) / n
        found = np.zeros((_DRAWS, len(checkpoints)))
        known = False
        if n > 1:
            # n subjects drawn from n vary too little, by (n - 1) / n
            found += (weight - 1 / n) @ table.T * np.sqrt(n / (n - 1))
            known = True
        parts = [self._resampled.get((model, name, choice)) for name in checkpoints]
        if all(p is not None and p.shape == (self.resamples, n) for p in parts) and parts:
            stacked = np.stack([p for p in parts if p is not None])
            stacked = stacked - stacked.mean(axis=1, keepdims=True)
            found += np.einsum("ds,kds->dk", weight, stacked[:, self._resample])
            known = True
        return found if known and np.isfinite(found).all() else None


def pairs_of(rows: pl.DataFrame, subjects: Subjects) -> Iterator[tuple[Run, Pair]]:
    """Pair up the curves of each run over the steps that both were measured at or between.

    Parameters
    ----------
    rows : DataFrame
        Trajectories of one data set, choice and benchmark.
    subjects : Subjects
    """
    benchmark, choice = str(rows["benchmark"][0]), str(rows["choice"][0])
    sign = 1.0 if rises(benchmark) else -1.0
    for run, part in runs_of(rows):
        scored = part.filter(pl.col("performance").is_not_null())
        low, high = _bounds(part, scored)
        inside = pl.col("position").is_between(low, high)
        mine, theirs = part.filter(inside), scored.filter(inside)
        alignment = alignment_curve(mine, subjects, choice)
        at, score = _averaged(theirs, "performance")
        pair = Pair(
            f"{run.model} {run.seed}".strip(), alignment, Curve.of(at, sign * score), run.model
        )
        yield run, pair


def runs_of(rows: pl.DataFrame) -> Iterator[tuple[Run, pl.DataFrame]]:
    """Split rows by training run."""
    named = [run_of(*names) for names in rows.select("model", "checkpoint").iter_rows()]
    marked = rows.with_columns(
        run_model=pl.Series([run.model for run in named], dtype=pl.String),
        run_seed=pl.Series([run.seed for run in named], dtype=pl.String),
    )
    for (model, seed), part in marked.group_by(["run_model", "run_seed"], maintain_order=True):
        yield Run(str(model), str(seed)), part.sort("position", "checkpoint")


def alignment_curve(rows: pl.DataFrame, subjects: Subjects, choice: str) -> Curve:
    """Make the alignment curve of one run; checkpoints at one step are averaged."""
    at, value = _averaged(rows, "alignment")
    unique = rows.filter(pl.col("alignment").is_not_null()).unique("position").sort("position")
    deviations = None
    if len(unique) == len(rows) and rows["model"].n_unique() == 1:
        model = str(rows["model"][0])
        deviations = subjects.deviations(model, unique["checkpoint"].to_list(), choice)
    return Curve.of(at, value, deviations)


def _averaged(rows: pl.DataFrame, column: str) -> tuple[Array, Array]:
    mean = (
        rows.filter(pl.col(column).is_not_null())
        .group_by("position")
        .agg(pl.col(column).mean())
        .sort("position")
    )
    return mean["position"].to_numpy(), mean[column].to_numpy()


def _bounds(part: pl.DataFrame, scored: pl.DataFrame) -> tuple[float, float]:
    if scored.is_empty():
        return np.inf, -np.inf
    places = [frame["position"].to_numpy() for frame in (part, scored)]
    return float(max(p.min() for p in places)), float(min(p.max() for p in places))


def _wide(rows: pl.DataFrame, keys: tuple[str, ...], names: list[str]) -> pl.DataFrame:
    wide = rows.pivot("subject", index=list(keys), values="alignment", aggregate_function="mean")
    absent = [pl.lit(None, dtype=pl.Float64).alias(n) for n in names if n not in wide.columns]
    return wide.with_columns(absent).with_columns(pl.col(names).cast(pl.Float64).fill_null(np.nan))


def _lookup(
    rows: pl.DataFrame, keys: tuple[str, ...], names: list[str]
) -> dict[tuple[Any, ...], Array]:
    wide = _wide(rows, keys, names)
    places = wide.select(keys).rows()
    return dict(zip(places, wide.select(names).to_numpy(), strict=True))


def granger(cause: ArrayLike, effect: ArrayLike) -> float:
    """Give the p of lag-1 Granger causality: does the last value of `cause` help predict `effect`?

    Parameters
    ----------
    cause, effect : array_like, shape (checkpoint,)
        At the same checkpoints, in order.

    Returns
    -------
    float
        p of the F test of one coefficient; NaN for fewer than five checkpoints or constants.

    References
    ----------
    Granger, Econometrica 37 (1969) 424-438.
    """
    x, y = np.asarray(cause, dtype=np.float64), np.asarray(effect, dtype=np.float64)
    n = y.size - 1
    if n < 4 or is_constant(x) or is_constant(y):
        return math.nan
    small = np.column_stack([np.ones(n), y[:-1]])
    large = np.column_stack([small, x[:-1]])
    without, whole = _squares(small, y[1:]), _squares(large, y[1:])
    if whole <= 0:
        return math.nan
    return float(stats.f.sf((without - whole) / (whole / (n - 3)), 1, n - 3))


def cross_correlation_lag(alignment: ArrayLike, performance: ArrayLike) -> int:
    """Shift, in checkpoints, at which changes of performance go best with those of alignment.

    Parameters
    ----------
    alignment, performance : array_like, shape (checkpoint,)

    Returns
    -------
    int
        Positive where performance follows.
    """
    a = np.diff(np.asarray(alignment, dtype=np.float64))
    p = np.diff(np.asarray(performance, dtype=np.float64))
    if a.size == 0:
        return 0
    found = np.correlate(p - p.mean(), a - a.mean(), mode="full")
    return int(found.argmax()) - (a.size - 1)


def _squares(design: Array, y: Array) -> float:
    """Sum of squared residuals."""
    solution = np.linalg.lstsq(design, y, rcond=None)[0]
    return float(np.square(y - design @ solution).sum())
