"""Correlation of two short vectors, with honest intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from convergent.alignment.constant import PRODUCT, is_constant_array, without_rounding
from convergent.errors import NumericalError

Array = NDArray[np.float64]


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Pearson correlation; NaN when either side is constant or shorter than two.

    Parameters
    ----------
    x, y : array_like, shape (n,)

    Returns
    -------
    float
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.size < 2 or is_constant(a) or is_constant(b):
        return math.nan
    a, b = a - a.mean(), b - b.mean()
    return float(np.clip(a @ b / math.sqrt((a @ a) * (b @ b)), -1.0, 1.0))


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Spearman rank correlation, ties given their mean rank; NaN when a side is constant."""
    return pearson(stats.rankdata(np.asarray(x)), stats.rankdata(np.asarray(y)))


def is_constant(values: Array) -> bool:
    """Whether the spread of scores or benchmarks is nothing but the rounding of what made them."""
    return bool(is_constant_array(values, resolution=PRODUCT))


def fisher_interval(r: float, n: int, *, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval of a correlation through Fisher's z.

    Parameters
    ----------
    r : float
        Correlation in [-1, 1].
    n : int
        Number of independent pairs; at least 4 for an interval.
    level : float, default 0.95

    Returns
    -------
    tuple of float
        Low and high end; NaN, NaN when ``n < 4`` or r is NaN.

    References
    ----------
    Fisher (1921), On the "probable error" of a coefficient of correlation, Metron 1.
    """
    if n < 4 or math.isnan(r):
        return math.nan, math.nan
    if abs(r) >= 1.0:
        return r, r
    half = float(stats.norm.ppf(0.5 + level / 2)) / math.sqrt(n - 3)
    z = math.atanh(r)
    return math.tanh(z - half), math.tanh(z + half)


def permutation_p(
    x: ArrayLike, y: ArrayLike, *, permutations: int, seed: int | Sequence[int]
) -> float:
    """Two-sided permutation p value of Pearson's r.

    The observed order counts as one permutation, so p is at least 1 / (permutations + 1) and
    never 0. The models are taken as exchangeable. Where families share lineage they are not, and
    this rejects far too often; `family_correlation` is the test that knows of families.

    Parameters
    ----------
    x, y : array_like, shape (n,)
    permutations : int
        Number of random orders.
    seed : int or sequence of int

    Returns
    -------
    float
        p value, or NaN when r is undefined.

    References
    ----------
    Phipson & Smyth (2010), Permutation p-values should never be zero.
    """
    r = pearson(x, y)
    if math.isnan(r):
        return math.nan
    a, b = _standardised(x), _standardised(y)
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(b, (permutations, 1)), axis=1)
    # The tolerance keeps an order that equals the observed one from losing by rounding.
    hits = int(np.sum(np.abs(orders @ a) >= abs(r) - 1e-12))
    return (hits + 1) / (permutations + 1)


def _standardised(values: ArrayLike) -> Array:
    a = np.asarray(values, dtype=np.float64)
    a = a - a.mean()
    scaled: Array = a / math.sqrt(float(a @ a))
    return scaled


def family_bootstrap(
    x: ArrayLike,
    y: ArrayLike,
    family: Sequence[str],
    *,
    bootstraps: int,
    seed: int | Sequence[int],
    level: float = 0.95,
) -> tuple[float, float, int]:
    """Percentile interval of r when whole families, not models, are resampled.

    Models of one family share data and lineage; drawing families with replacement lets the
    interval widen by as much as that dependence costs. With few families, or one large one, a
    percentile interval is too narrow all the same: 82 to 93 % of these hold the truth where
    95 % should (benchmarks/calibration_performance.py); that of `family_correlation` holds it.

    Parameters
    ----------
    x, y : array_like, shape (n,)
    family : sequence of str, length n
    bootstraps : int
        Number of resamples.
    seed : int or sequence of int
    level : float, default 0.95

    Returns
    -------
    low, high : float
        NaN when there are fewer than 3 families or too few usable resamples.
    used : int
        Resamples in which r was defined.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    names, member = np.unique(np.asarray(family, dtype=str), return_inverse=True)
    if names.size < 3 or is_constant(a) or is_constant(b):
        return math.nan, math.nan, 0
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(names.size, np.full(names.size, 1 / names.size), size=bootstraps)
    r = weighted_pearson(a, b, counts[:, member].astype(np.float64))
    r = r[np.isfinite(r)]
    if r.size < max(1, bootstraps // 2):
        return math.nan, math.nan, int(r.size)
    low, high = np.quantile(r, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high), int(r.size)


def weighted_pearson(x: Array, y: Array, weights: Array) -> Array:
    """Pearson correlation under each row of integer weights.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
    weights : ndarray, shape (resample, n)
        How often each pair occurs in each resample.

    Returns
    -------
    ndarray, shape (resample,)
        NaN where a resample leaves either side constant.
    """
    # Of the resamples in which both vary, each about its own mean: one that draws no outlier may
    # vary by far less than the whole sample.
    drawn = np.array([_drawn_vary(values, weights) for values in (x, y)]).all(axis=0)
    kept = weights[drawn]
    a, b = (_about_weighted_mean(values, kept) for values in (x, y))
    products = ((kept * one * other).sum(axis=1) for one, other in ((a, b), (a, a), (b, b)))
    covariance, var_a, var_b = products
    r = np.full(len(weights), np.nan)
    r[drawn] = np.clip(covariance / np.sqrt(var_a * var_b), -1.0, 1.0)
    return r


def _drawn_vary(values: Array, weights: Array) -> NDArray[np.bool_]:
    """Whether the values that each resample draws differ, (resample,)."""
    every = np.broadcast_to(values, weights.shape)
    sides = np.stack([np.where(weights > 0, every, fill) for fill in (np.inf, -np.inf)])
    extremes = np.stack([sides[0].min(axis=1), sides[1].max(axis=1)])
    vary: NDArray[np.bool_] = ~is_constant_array(extremes, resolution=PRODUCT)
    vary &= np.isfinite(extremes).all(axis=0)
    return vary


def _about_weighted_mean(values: Array, weights: Array) -> Array:
    """Values less the mean of each resample, in units of the largest, (resample, n)."""
    level = values - values.mean()
    mean = weights @ level / weights.sum(axis=1)
    centred = level - mean[:, None]
    size = np.where(weights > 0, np.abs(centred), 0.0).max(axis=1, keepdims=True)
    scaled: Array = centred / size
    return scaled


def partial_pearson(x: ArrayLike, y: ArrayLike, given: ArrayLike) -> float:
    """Correlation of x and y after a linear fit on ``given`` is taken out of both.

    Parameters
    ----------
    x, y : array_like, shape (n,)
    given : array_like, shape (n,) or (n, covariate)

    Returns
    -------
    float
        NaN when n is below 3 and the number of covariates, a covariate is constant, or a
        residual is.
    """
    a, b = (np.asarray(v, dtype=np.float64) for v in (x, y))
    c = np.asarray(given, dtype=np.float64)
    c = c[:, None] if c.ndim == 1 else c
    if a.size < 3 + c.shape[1] or any(is_constant(column) for column in c.T):
        return math.nan
    return pearson(_residual(a, c), _residual(b, c))


def _residual(values: Array, given: Array) -> Array:
    centred = (given - given.mean(axis=0)) / given.std(axis=0)
    slopes = np.linalg.lstsq(centred, values - values.mean())[0]
    residual: Array = values - values.mean() - centred @ slopes
    return without_rounding(residual, values)  # as is left of an exact linear function


def within_family(x: ArrayLike, y: ArrayLike, family: Sequence[str]) -> float:
    """Correlation after each family's mean is taken out of both sides.

    Families with one member say nothing and drop out; NaN when fewer than 3 models remain.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    _, member, size = np.unique(
        np.asarray(family, dtype=str), return_inverse=True, return_counts=True
    )
    keep = size[member] > 1
    if int(keep.sum()) < 3:
        return math.nan
    mean_a = np.bincount(member, a) / size
    mean_b = np.bincount(member, b) / size
    rest = (without_rounding(v - m[member], v) for v, m in ((a, mean_a), (b, mean_b)))
    return pearson(*(part[keep] for part in rest))


def without_each_family(x: ArrayLike, y: ArrayLike, family: Sequence[str]) -> dict[str, float]:
    """Correlate again with each family in turn left out.

    Parameters
    ----------
    x, y : array_like, shape (n,)
    family : sequence of str, length n

    Returns
    -------
    dict of str to float
        r by the family left out, NaN where fewer than 3 models remain; empty with fewer than
        3 families.
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    names, member = np.unique(np.asarray(family, dtype=str), return_inverse=True)
    if names.size < 3:
        return {}
    rest = [member != index for index in range(names.size)]
    return {
        str(name): pearson(a[kept], b[kept]) if int(kept.sum()) >= 3 else math.nan
        for name, kept in zip(names, rest, strict=True)
    }


def leave_one_family_out(x: ArrayLike, y: ArrayLike, family: Sequence[str]) -> tuple[float, float]:
    """Smallest and largest r when each family in turn is left out; NaN with fewer than 3."""
    finite = [r for r in without_each_family(x, y, family).values() if not math.isnan(r)]
    return (min(finite), max(finite)) if finite else (math.nan, math.nan)


def benjamini_hochberg(p: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p values that control the false discovery rate.

    Parameters
    ----------
    p : array_like, shape (test,)
        p values; NaN marks a test that was not made and does not count.

    Returns
    -------
    ndarray of float64, shape (test,)
        q values, NaN where p is NaN.

    Raises
    ------
    NumericalError
        If a p value lies outside [0, 1].

    References
    ----------
    Benjamini & Hochberg (1995), Controlling the false discovery rate, JRSS-B 57.
    """
    values = np.asarray(p, dtype=np.float64)
    made = np.isfinite(values)
    tests = values[made]
    if np.any((tests < 0) | (tests > 1)):
        raise NumericalError(
            "p values lie outside [0, 1]", where="benjamini_hochberg", fix="pass p, not a statistic"
        )
    q = np.full(values.shape, np.nan)
    if tests.size == 0:
        return q
    order = np.argsort(tests)
    ranked = tests[order] * tests.size / np.arange(1, tests.size + 1)
    adjusted = np.minimum(np.minimum.accumulate(ranked[::-1])[::-1], 1.0)
    back = np.empty_like(adjusted)
    back[order] = adjusted
    q[made] = back
    return q
