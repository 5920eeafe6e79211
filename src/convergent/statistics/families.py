"""Models in families: what one number a model, shared within families, says about itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.statistics.correlation import is_constant

Array = NDArray[np.float64]

# Shares of variance between families that are tried; finer where the likelihood bends.
ICC_GRID = np.concatenate([np.linspace(0.0, 0.95, 20), [0.97, 0.985, 0.995]])


class Families(NamedTuple):
    """Who belongs to which family.

    Attributes
    ----------
    names : ndarray of str, shape (family,)
    member : ndarray of int, shape (model,)
        Index of each model's family.
    size : ndarray of float64, shape (family,)
    """

    names: NDArray[np.str_]
    member: NDArray[np.intp]
    size: Array

    @classmethod
    def of(cls, labels: Sequence[str] | NDArray[np.str_]) -> Families:
        """Sort labels, one a model, into families."""
        names, member, size = np.unique(
            np.asarray(labels, dtype=str), return_inverse=True, return_counts=True
        )
        return cls(names, member, size.astype(np.float64))

    @property
    def models(self) -> int:
        """Number of models."""
        return int(self.member.size)

    @property
    def within(self) -> int:
        """Degrees of freedom within families: 0 where each model is a family."""
        return self.models - self.size.size


class Moments(NamedTuple):
    """All that a correlation and the variance components need of pairs in families.

    Attributes
    ----------
    mean_x, mean_y : ndarray, shape (draw, family)
        Means of each family.
    within_xx, within_yy, within_xy : ndarray, shape (draw,)
        Sums of squares and products around the families' means.
    """

    mean_x: Array
    mean_y: Array
    within_xx: Array
    within_yy: Array
    within_xy: Array

    @classmethod
    def of(cls, x: ArrayLike, y: ArrayLike, families: Families) -> Moments:
        """Take the moments of one or several samples, each of shape (..., model)."""
        a, b = (np.atleast_2d(np.asarray(v, dtype=np.float64)) for v in (x, y))
        # standardised: the moments are then free of the unit, and of its rounding
        a, b = ((v - v.mean(1, keepdims=True)) / v.std(1, keepdims=True) for v in (a, b))
        share = np.zeros((families.models, families.size.size))
        share[np.arange(families.models), families.member] = 1 / families.size[families.member]
        mean_a, mean_b = a @ share, b @ share
        rest_a, rest_b = a - mean_a[:, families.member], b - mean_b[:, families.member]
        products = ((rest_a * rest_a), (rest_b * rest_b), (rest_a * rest_b))
        aa, bb, ab = (product.sum(axis=1) for product in products)
        return cls(mean_a, mean_b, aa, bb, ab)

    def correlation(self, size: Array) -> Array:
        """Pearson r over all models, (draw,)."""
        total = float(size.sum())
        middle_x, middle_y = self.mean_x @ size / total, self.mean_y @ size / total
        xx = self.within_xx + self.mean_x**2 @ size - total * middle_x**2
        yy = self.within_yy + self.mean_y**2 @ size - total * middle_y**2
        xy = self.within_xy + (self.mean_x * self.mean_y) @ size - total * middle_x * middle_y
        return np.asarray(np.clip(xy / np.sqrt(xx * yy), -1 + 1e-12, 1 - 1e-12))

    def within(self) -> Array:
        """Pearson r within families, (draw,); NaN where they leave nothing."""
        scale = np.sqrt(self.within_xx * self.within_yy)
        ratio = np.full(scale.shape, np.nan)
        np.divide(self.within_xy, scale, out=ratio, where=scale > 0)
        return ratio


def draw_moments(
    families: Families,
    shares: tuple[float, float],
    related: tuple[float, float],
    draws: int,
    rng: np.random.Generator,
) -> Moments:
    """Draw moments of normal x and y in these families.

    Family means, and within families a Wishart matrix (Bartlett's decomposition): the same as
    drawing models, and faster.

    Parameters
    ----------
    families : Families
    shares : tuple of float
        Share between families of x and of y.
    related : tuple of float
        Correlation of the families' effects, and of the models' own.
    draws : int
    rng : Generator
    """
    between, own = related
    normal = rng.standard_normal((4, draws, families.size.size))
    effect_x, own_x = normal[0], normal[1]
    effect_y = between * normal[0] + np.sqrt(1 - between**2) * normal[2]
    own_y = own * normal[1] + np.sqrt(1 - own**2) * normal[3]
    mean_x, mean_y = (
        np.sqrt(share) * effect + np.sqrt((1 - share) / families.size) * residual
        for share, effect, residual in zip(
            shares, (effect_x, effect_y), (own_x, own_y), strict=True
        )
    )
    freedom = families.within
    first = np.sqrt(rng.chisquare(freedom, draws)) if freedom else np.zeros(draws)
    second = rng.chisquare(freedom - 1, draws) if freedom > 1 else np.zeros(draws)
    cross = rng.standard_normal(draws) if freedom else np.zeros(draws)
    across = own * first + np.sqrt(1 - own**2) * cross
    p, q = 1 - shares[0], 1 - shares[1]
    within_yy = q * (across**2 + (1 - own**2) * second)
    within_xy = np.sqrt(p * q) * first * across
    return Moments(mean_x, mean_y, p * first**2, within_yy, within_xy)


def intraclass(mean: Array, within: Array, families: Families) -> Array:
    """Share of the variance that lies between families, by restricted maximum likelihood.

    Model: value = constant + family's effect + own effect, both normal.

    Parameters
    ----------
    mean : ndarray, shape (draw, family)
        Means of the families.
    within : ndarray, shape (draw,)
        Sum of squares around them.
    families : Families

    Returns
    -------
    ndarray, shape (draw,)
        A value of ``ICC_GRID`` (a grid, so that null distributions can be kept); 0 where each
        model is a family of its own, which leaves nothing to estimate.

    References
    ----------
    Patterson & Thompson (1971), Recovery of inter-block information when block sizes are unequal.
    """
    best = np.zeros(len(mean))
    if families.within == 0 or families.size.size < 2:
        return best
    size, lowest = families.size, np.full(len(mean), np.inf)
    for icc in ICC_GRID:
        ratio = icc / (1 - icc)
        weight = size / (1 + size * ratio)
        total = weight.sum()
        residual = within + mean**2 @ weight - (mean @ weight) ** 2 / total
        deviance = (
            (families.models - 1) * np.log(np.maximum(residual, 1e-300))
            + np.log1p(size * ratio).sum()
            + np.log(total)
        )
        better = deviance < lowest - 1e-9
        lowest[better], best[better] = deviance[better], icc
    return best


def correlation_variance(icc_x: ArrayLike, icc_y: ArrayLike, size: Array) -> Array:
    """Variance of r when x and y are unrelated but both have family effects.

    Var r = tr(C Rx C Ry) / (tr(C Rx) tr(C Ry)), with C the centring and R the correlation of the
    models: 1 on the diagonal, ``icc`` within families. Its inverse plus one is the number of
    independent models that would give r the same spread.

    Parameters
    ----------
    icc_x, icc_y : array_like, shape (...)
    size : ndarray, shape (family,)

    Returns
    -------
    ndarray, shape (...)

    References
    ----------
    Clifford, Richardson & Hemon (1989), Assessing the significance of the correlation between
    two spatial processes, Biometrics 45; Dutilleul (1993), Biometrics 49.
    """
    p, q = np.asarray(icc_x, dtype=np.float64), np.asarray(icc_y, dtype=np.float64)
    n, squares, cubes = float(size.sum()), float((size**2).sum()), float((size**3).sum())
    once = n - squares / n  # tr(C Z Z'), Z being the membership
    twice = squares - 2 * cubes / n + (squares / n) ** 2  # tr(C Z Z' C Z Z')
    product = (1 - p) * (1 - q) * (n - 1) + ((1 - p) * q + p * (1 - q)) * once + p * q * twice
    spread_x = (1 - p) * (n - 1) + p * once
    spread_y = (1 - q) * (n - 1) + q * once
    return np.asarray(product / (spread_x * spread_y))


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
