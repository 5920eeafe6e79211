"""Is r more than families explain? A test of Pearson's r, and its interval, under lineage."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._correlation import is_constant
from ._families import (
    Array,
    Families,
    Moments,
    correlation_variance,
    draw_moments,
    intraclass,
)

# With fewer the test's rate was not within 3 to 7 % (benchmarks/calibration_performance.py).
MINIMUM_FAMILIES = 4
_LARGE = 1e12


class FamilyCorrelation(NamedTuple):
    """Pearson's r with a p value and an interval that know of families.

    Attributes
    ----------
    r : float
    p : float
        Two-sided; NaN where it was not tested.
    low, high : float
        Interval of r: zero is outside exactly when p is at most 1 - level.
    n_effective : float
        Number of independent models that would give r the same spread.
    icc_x, icc_y : float
        Share of the variance between families.
    reason : str
        Why there is no p; empty otherwise.
    """

    r: float
    p: float
    low: float
    high: float
    n_effective: float
    icc_x: float
    icc_y: float
    reason: str


def family_correlation(
    x: ArrayLike,
    y: ArrayLike,
    family: Sequence[str],
    *,
    draws: int,
    seed: int,
    level: float = 0.95,
) -> FamilyCorrelation:
    """Test r against unrelated x and y that both have family effects.

    Statistic: atanh(r) / sqrt(Var r), the variance from the shares between families of x and y
    (`correlation_variance`). Null: the same statistic, shares estimated anew, of normal x and y
    drawn without relation with the estimated shares and the same sizes of families (a parametric
    bootstrap). A permutation of models instead takes 594 models for 594 independent ones.

    Parameters
    ----------
    x, y : array_like, shape (model,)
    family : sequence of str, length model
    draws : int
        Draws of the null; the smallest p is 1 / (draws + 1).
    seed : int
    level : float, default 0.95
        Of the interval (`interval_ends`): its distance from atanh r is the null's quantile towards
        zero, and that of draws related as x and y are at r itself.

    Returns
    -------
    FamilyCorrelation

    References
    ----------
    Davison & Hinkley (1997), Bootstrap methods and their application, section 4.2.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    families = Families.of(family)
    unknown = math.nan
    if a.size < 4 or is_constant(a) or is_constant(b):
        none = "fewer than 4 models, or all the same"
        return FamilyCorrelation(*(unknown,) * 7, none)
    moments = Moments.of(a, b, families)
    tested = _studentised(moments, families)
    r, icc_x, icc_y = float(tested.r[0]), float(tested.icc_x[0]), float(tested.icc_y[0])
    effective = 1 + 1 / float(tested.variance[0])
    if families.size.size < MINIMUM_FAMILIES:
        few = f"{families.size.size} families; a test needs at least {MINIMUM_FAMILIES}"
        return FamilyCorrelation(r, unknown, unknown, unknown, effective, icc_x, icc_y, few)
    null = null_statistics(tuple(np.sort(families.size)), icc_x, icc_y, draws, seed)
    larger = null.size - int(np.searchsorted(null, abs(float(tested.t[0])) - 1e-9))
    rank = math.ceil(level * (draws + 1)) - 1
    half = float(null[rank] if rank < null.size else _LARGE) * math.sqrt(float(tested.variance[0]))
    there = float(_errors(moments, tested, families, draws, seed)[min(rank, draws - 1)])
    low, high = interval_ends(math.atanh(r), half, there)
    return FamilyCorrelation(r, (larger + 1) / (draws + 1), low, high, effective, icc_x, icc_y, "")


def interval_ends(z: float, at_zero: float, there: float) -> tuple[float, float]:
    """Invert tests of r whose critical distance changes from that at zero to that at the estimate.

    Parameters
    ----------
    z : float
        atanh r.
    at_zero, there : float
        Largest |z - truth| that is not rejected where the truth is zero, and where it is z. The
        second is used only where it is larger; in between the distance is linear.

    Returns
    -------
    low, high : float
        Of r. Zero is outside exactly when |z| exceeds ``at_zero``.
    """
    size, far = abs(z), max(at_zero, there)
    near = size - at_zero
    if near > 0:
        near /= 1 + (far - at_zero) / size
    low, high = math.tanh(near), math.tanh(size + far)
    return (low, high) if z >= 0 else (-high, -low)


def _errors(
    moments: Moments, tested: _Studentised, families: Families, draws: int, seed: int
) -> Array:
    """Draw |atanh r - truth| where x and y are related as found, sorted, (draws,).

    Between families they may be related more or less closely than within: r then varies with
    the spread of the families that happen to be there.
    """
    icc_x, icc_y, r = float(tested.icc_x[0]), float(tested.icc_y[0]), float(tested.r[0])
    a, b = math.sqrt(icc_x * icc_y), math.sqrt((1 - icc_x) * (1 - icc_y))
    own = float(moments.within()[0]) if families.within > 1 else r
    between = _bounded((r - b * own) / a) if a > 0 else 0.0
    own = _bounded((r - a * between) / b)
    truth = math.atanh(_bounded(a * between + b * own))
    rng = np.random.default_rng([seed, families.size.size, families.models, 1])
    drawn = draw_moments(families, (icc_x, icc_y), (between, own), draws, rng)
    return np.sort(np.abs(np.arctanh(drawn.correlation(families.size)) - truth))


def _bounded(r: float) -> float:
    return max(-0.9999, min(0.9999, r))


class _Studentised(NamedTuple):
    r: Array
    icc_x: Array
    icc_y: Array
    variance: Array
    t: Array


def _studentised(moments: Moments, families: Families) -> _Studentised:
    icc_x = intraclass(moments.mean_x, moments.within_xx, families)
    icc_y = intraclass(moments.mean_y, moments.within_yy, families)
    r = moments.correlation(families.size)
    variance = correlation_variance(icc_x, icc_y, families.size)
    return _Studentised(r, icc_x, icc_y, variance, np.arctanh(r) / np.sqrt(variance))


@functools.lru_cache(maxsize=4096)
def null_statistics(
    size: tuple[float, ...], icc_x: float, icc_y: float, draws: int, seed: int
) -> NDArray[np.float64]:
    """Absolute statistics of unrelated x and y with these shares between families, sorted.

    They depend on nothing but the arguments, so that the many regions and metrics of one
    study share them.

    Returns
    -------
    ndarray, shape (draws,)
    """
    count = np.asarray(size, dtype=np.float64)
    member = np.repeat(np.arange(count.size), count.astype(int))
    families = Families(np.arange(count.size).astype(str), member, count)
    rng = np.random.default_rng([seed, count.size, int(count.sum())])
    drawn = draw_moments(families, (icc_x, icc_y), (0.0, 0.0), draws, rng)
    null = np.sort(np.abs(_studentised(drawn, families).t))
    null.flags.writeable = False
    return null
