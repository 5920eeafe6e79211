"""Profiles of many models over places, with families as the units that are resampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]

MINIMUM_FAMILIES = 3


class Profiles(NamedTuple):
    """Scores of models at places that all of them have.

    Attributes
    ----------
    models, families : list of str
        One a row.
    places : list of str
        One a column.
    values : ndarray of float64, shape (model, place)
        Finite.
    left_out : list of str
        Models without a score at some of these places.
    """

    models: list[str]
    families: list[str]
    places: list[str]
    values: Floats
    left_out: list[str]


def profile_matrix(rows: pl.DataFrame, value: str, *, place: str = "region") -> Profiles:
    """Lay out a long table as one row a model and one column a place.

    The places are those of the most complete model; models that lack one are left out, because a
    mean over fewer models at some places would draw a profile of its own.

    Parameters
    ----------
    rows : DataFrame
        model, family, the place and the value; one row a model and place.
    value, place : str
        Names of the columns.

    Returns
    -------
    Profiles
    """
    known = rows.select("family", "model", place, pl.col(value).alias("value")).drop_nulls()
    wide = known.pivot(on=place, index=["family", "model"], values="value").sort("family", "model")
    every = wide.select("family", "model").rows()
    names = [name for name in wide.columns if name not in ("family", "model")]
    table = np.array(wide.select(names).to_numpy(), dtype=np.float64).reshape(
        len(every), len(names)
    )
    there = np.isfinite(table)
    if not there.any():
        return Profiles([], [], [], np.empty((0, 0)), [model for _, model in every])
    columns = np.flatnonzero(there[there.sum(axis=1).argmax()])
    keep = np.asarray(there[:, columns].all(axis=1)).tolist()
    kept = [row for row, wanted in zip(every, keep, strict=True) if wanted]
    return Profiles(
        [model for _, model in kept],
        [family for family, _ in kept],
        [names[index] for index in columns],
        table[np.ix_(np.flatnonzero(keep), columns)],
        [model for (_, model), wanted in zip(every, keep, strict=True) if not wanted],
    )


def family_means(values: ArrayLike, families: Sequence[str]) -> tuple[list[str], Floats]:
    """Average the models of each family, so that a large family counts once.

    Parameters
    ----------
    values : array_like, shape (model, ...)
    families : sequence of str
        One a model.

    Returns
    -------
    names : list of str
    means : ndarray, shape (family, ...)
    """
    table = np.asarray(values, dtype=np.float64)
    names, member = np.unique(np.asarray(families, dtype=str), return_inverse=True)
    means = np.stack([table[member == index].mean(axis=0) for index in range(names.size)])
    return names.tolist(), means


def resampled_means(means: Floats, *, bootstraps: int, seed: Sequence[int]) -> Floats:
    """Draw families with replacement and average them.

    Parameters
    ----------
    means : ndarray, shape (family, place)
    bootstraps : int
    seed : sequence of int

    Returns
    -------
    ndarray, shape (bootstrap, place)
        No rows with fewer than 3 families: so few say nothing of how families differ.
    """
    number = len(means)
    if number < MINIMUM_FAMILIES:
        return np.empty((0, means.shape[1]))
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(number, np.full(number, 1 / number), size=bootstraps)
    drawn: Floats = counts / number @ means
    return drawn


def percentile_interval(
    values: ArrayLike, *, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Middle share of resampled values; None, None where there are none."""
    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    if known.size < 2:
        return None, None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def jackknife_interval(
    means: Floats, statistic: Callable[[Floats], Floats], *, level: float = 0.95
) -> tuple[float | None, float | None]:
    """Interval of a smooth statistic of the mean over families, each left out in turn.

    With the handful of families that studies have, percentiles of a bootstrap are too narrow;
    the jackknife's error with Student's t is not.

    Parameters
    ----------
    means : ndarray, shape (family, place)
    statistic : callable
        From mean profiles (profile, place) to one value each, (profile,).
    level : float

    Returns
    -------
    low, high : float or None
        None with fewer than 3 families, or where the statistic is undefined.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 11.
    """
    number = len(means)
    if number < MINIMUM_FAMILIES:
        return None, None
    whole = float(statistic(means.mean(axis=0)[None])[0])
    without = statistic((means.sum(axis=0) - means) / (number - 1))
    if not (np.isfinite(without).all() and np.isfinite(whole)):
        return None, None
    error = np.sqrt((number - 1) / number * ((without - without.mean()) ** 2).sum())
    half = float(error * stats.t.ppf((1 + level) / 2, number - 1))
    return whole - half, whole + half


class MeanTest(NamedTuple):
    """One-sample t test over families, one a column; NaN with fewer than 3."""

    mean: Floats
    low: Floats
    high: Floats
    t: Floats
    p: Floats


def t_over_families(means: Floats, *, level: float = 0.95) -> MeanTest:
    """Test the mean over families against 0, two-sided, with its interval.

    Parameters
    ----------
    means : ndarray, shape (family, column)
    level : float

    Returns
    -------
    MeanTest
        Arrays of shape (column,).
    """
    number = len(means)
    mean = means.mean(axis=0)
    if number < MINIMUM_FAMILIES:
        nothing = np.full(mean.shape, np.nan)
        return MeanTest(mean, nothing, nothing, nothing, nothing)
    error = means.std(axis=0, ddof=1) / np.sqrt(number)
    half = error * stats.t.ppf((1 + level) / 2, number - 1)
    t = np.divide(mean, error, out=np.full(mean.shape, np.nan), where=error > 0)
    return MeanTest(mean, mean - half, mean + half, t, 2 * stats.t.sf(np.abs(t), number - 1))


def median_p(p: ArrayLike, families: Sequence[str]) -> Floats:
    """Join p values of models that are not independent: twice their median, families weighed.

    Models see the same stimuli and are compared with the same responses: chance that favours one
    favours all, and products or means of their p values are far too small. At most a share alpha
    of all data can give more than half of the weight a p value below alpha / 2, whatever the
    dependence: by Markov's inequality.

    Parameters
    ----------
    p : array_like, shape (model, place)
        NaN where there was no test.
    families : sequence of str
        One a model; each family weighs the same.

    Returns
    -------
    ndarray, shape (place,)
        At most 1; NaN where a model has no p value.

    References
    ----------
    Rueger (1978), Metrika 25; Vovk & Wang, Biometrika 107 (2020) 791-808.
    """
    table = np.asarray(p, dtype=np.float64)
    _, member, sizes = np.unique(
        np.asarray(families, dtype=str), return_inverse=True, return_counts=True
    )
    weight = 1.0 / (sizes.size * sizes[member])
    order = np.argsort(table, axis=0)
    heaped = np.cumsum(weight[order], axis=0)
    at = np.argmax(heaped >= 0.5 - 1e-12, axis=0)
    median = np.take_along_axis(np.take_along_axis(table, order, axis=0), at[None], axis=0)[0]
    joined: Floats = np.where(np.isnan(table).any(axis=0), np.nan, np.minimum(1.0, 2 * median))
    return joined
