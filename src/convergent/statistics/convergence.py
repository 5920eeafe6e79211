"""Do vision and language models become alike in where they align, the deeper one looks?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from convergent.statistics.cortex import MINIMUM_REGIONS, Surface
from convergent.statistics.depth import BINS, CENTRES
from convergent.statistics.regions import MINIMUM_FAMILIES, family_means, profile_matrix

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]

_PAIR = ("dataset", "modality", "other_dataset", "other_modality", "measure")
_COUNTS = ("n_regions", "n_models", "n_families", "other_n_models", "other_n_families")
CONVERGENCE_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(_PAIR, pl.String),
    "bin": pl.Int64,
    **dict.fromkeys(("depth", "r", "low", "high", "p_spin", "within", "other_within"), pl.Float64),
    **dict.fromkeys(("corrected", "corrected_low", "corrected_high"), pl.Float64),
    **dict.fromkeys(_COUNTS, pl.Int64),
    "reason": pl.String,
}
TREND_SCHEMA: dict[str, Any] = {
    **dict.fromkeys((*_PAIR, "statistic"), pl.String),
    **dict.fromkeys(("early", "late", "difference", "low", "high", "p"), pl.Float64),
    **dict.fromkeys(_COUNTS, pl.Int64),
    "reason": pl.String,
}
_MEASURES = ("score", "score_normalised")
_FEW = "fewer than 3 families of a modality"
# Families of one modality must resemble each other at least so much to be corrected for.
_RELIABLE = 0.1

Statistic = Callable[[Floats, Floats], float]


class _Two(NamedTuple):
    """Profiles of the families of both modalities, each (family, bin, region)."""

    first: Floats
    second: Floats
    places: list[str]
    facts: dict[str, Any]


def profile_r(first: Floats, second: Floats) -> float:
    """Correlation over regions of the mean profiles of two groups, each (family, region)."""
    a, b = first.mean(axis=0), second.mean(axis=0)
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else math.nan


def within_r(families: Floats) -> float:
    """Mean correlation of the profiles of two families of one group, (family, region)."""
    unit = _unit(families)
    number = len(unit)
    if number < 2:
        return math.nan
    return float(((unit.sum(axis=0) ** 2).sum() - number) / (number * (number - 1)))


def corrected_r(first: Floats, second: Floats) -> float:
    """Correlation of families of two groups, as a share of that within the groups.

    Profiles of weakly aligned layers are mostly noise, and noise is alike in nothing: their
    correlation grows with alignment though what lies under the noise does not change. Families of
    one modality suffer from the same noise; divided by how alike they are, the correlation is that
    of profiles without it.

    Parameters
    ----------
    first, second : ndarray, shape (family, region)

    Returns
    -------
    float
        NaN where families of a group are less alike than 0.1.

    References
    ----------
    Spearman, Am. J. Psychol. 15 (1904) 72-101.
    """
    a, b = within_r(first), within_r(second)
    if not (a > _RELIABLE and b > _RELIABLE):
        return math.nan
    cross = float(_unit(first).mean(axis=0) @ _unit(second).mean(axis=0))
    return cross / math.sqrt(a * b)


def two_sample_jackknife(
    statistic: Statistic, first: Floats, second: Floats, *, level: float = 0.95
) -> tuple[float, float, float, float]:
    """Value, interval and p (against 0) of a statistic of two groups of families.

    Each family of each group is left out in turn; the variances of the two groups add.

    Parameters
    ----------
    statistic : callable
        From two arrays (family, ...) to a number.
    first, second : ndarray, shape (family, ...)
    level : float

    Returns
    -------
    value, low, high, p : float
        NaN with fewer than 3 families in a group.

    References
    ----------
    Arvesen, Ann. Math. Stat. 40 (1969) 2076-2100. Welch, Biometrika 34 (1947) 28-35 (degrees of
    freedom).
    """
    value = statistic(first, second)
    if min(len(first), len(second)) < MINIMUM_FAMILIES or math.isnan(value):
        return value, math.nan, math.nan, math.nan
    parts = []
    for number, without in (
        (len(first), [statistic(np.delete(first, i, 0), second) for i in range(len(first))]),
        (len(second), [statistic(first, np.delete(second, i, 0)) for i in range(len(second))]),
    ):
        left = np.array(without)
        parts.append(((number - 1) / number * ((left - left.mean()) ** 2).sum(), number - 1))
    variance = sum(part for part, _ in parts)
    if not variance > 0:  # also NaN
        return value, math.nan, math.nan, math.nan
    freedom = variance**2 / sum(part**2 / below for part, below in parts)
    error = math.sqrt(variance)
    half = error * float(stats.t.ppf((1 + level) / 2, freedom))
    return value, value - half, value + half, float(2 * stats.t.sf(abs(value) / error, freedom))


def convergence(
    binned: pl.DataFrame, surfaces: Mapping[str, Surface]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Correlate the region profiles of two modalities at each depth, and test the trend.

    Parameters
    ----------
    binned : DataFrame
        From `depth_bins`. Data sets of two modalities that name the same regions are compared.
    surfaces : mapping of str to Surface
        One a data set.

    Returns
    -------
    by_depth : DataFrame
        One row a (pair of data sets, measure, bin): r of the families' mean profiles with its
        jackknife interval over families of both and p_spin, how alike families of each modality
        are, and `corrected_r` with its interval.
    trend : DataFrame
        One row a (pair, measure, statistic): r, or the corrected r, of the late half of the depth
        less that of the early half.
    """
    by_depth, trend = [], []
    for pair in _pairs(binned):
        surface = surfaces[str(pair.facts["dataset"])]
        by_depth += _by_depth(pair, surface)
        trend += _trend(pair)
    return (
        _table(by_depth, CONVERGENCE_SCHEMA),
        _table(trend, TREND_SCHEMA),
    )


def spin_maps(first: Floats, second: Floats, places: list[str], surface: Surface) -> float:
    """Two-sided p of the correlation of two maps against rotations of the second."""
    if surface.sphere is None or not all(name in surface.places for name in places):
        return math.nan
    whole = np.full(len(surface.sphere.names), np.nan)
    for name, value in zip(places, second.tolist(), strict=True):
        whole[list(surface.places[name])] = value
    spun = surface.spun(whole, places)
    there = np.isfinite(spun)
    spun = spun[there.sum(axis=1) >= MINIMUM_REGIONS]
    there = np.isfinite(spun)
    null = np.abs(_masked_r(np.where(there, spun, 0.0), there, first))
    observed = abs(profile_r(first[None], second[None]))
    return float((1 + (null >= observed - 1e-12).sum()) / (1 + len(null)))


def _masked_r(maps: Floats, there: NDArray[np.bool_], values: Floats) -> Floats:
    """Correlation of each map with values, over where the map is, (map,)."""
    n = there.sum(axis=1)
    mean_x, mean_y = maps.sum(axis=1) / n, there @ values / n
    xy = maps @ values / n - mean_x * mean_y
    xx, yy = (maps**2).sum(axis=1) / n - mean_x**2, there @ values**2 / n - mean_y**2
    r: Floats = xy / np.sqrt(np.maximum(xx * yy, np.finfo(float).tiny))
    return r


def _by_depth(pair: _Two, surface: Surface) -> Rows:
    rows: Rows = []
    few = min(len(pair.first), len(pair.second)) < MINIMUM_FAMILIES
    for index in range(BINS):
        a, b = pair.first[:, index], pair.second[:, index]
        z, low, high, _ = two_sample_jackknife(_fisher, a, b)
        corrected, corrected_low, corrected_high, _ = two_sample_jackknife(corrected_r, a, b)
        rows.append(
            {
                **pair.facts,
                "bin": index,
                "depth": float(CENTRES[index]),
                "r": math.tanh(z),
                "low": math.tanh(low),
                "high": math.tanh(high),
                "p_spin": spin_maps(a.mean(axis=0), b.mean(axis=0), pair.places, surface),
                "within": within_r(a),
                "other_within": within_r(b),
                "corrected": corrected,
                "corrected_low": corrected_low,
                "corrected_high": corrected_high,
                "reason": _FEW if few else surface.reason or None,
            }
        )
    return rows


def _trend(pair: _Two) -> Rows:
    rows: Rows = []
    half = BINS // 2
    few = min(len(pair.first), len(pair.second)) < MINIMUM_FAMILIES
    for name, statistic in (("r", profile_r), ("corrected r", corrected_r)):

        def difference(a: Floats, b: Floats, ask: Statistic = statistic) -> float:
            late = ask(a[:, half:].mean(axis=1), b[:, half:].mean(axis=1))
            return late - ask(a[:, :half].mean(axis=1), b[:, :half].mean(axis=1))

        value, low, high, p = two_sample_jackknife(difference, pair.first, pair.second)
        early, late = (
            statistic(pair.first[:, part].mean(axis=1), pair.second[:, part].mean(axis=1))
            for part in (slice(None, half), slice(half, None))
        )
        unlike = "families of a modality are not alike enough to correct for noise"
        rows.append(
            {
                **pair.facts, "statistic": name, "early": early, "late": late,
                "difference": value, "low": low, "high": high, "p": p,
                "reason": _FEW if few else unlike if math.isnan(p) else None,
            }
        )  # fmt: skip
    return rows


def _pairs(binned: pl.DataFrame) -> list[_Two]:
    """Data sets of two modalities that share regions, vision first."""
    groups = {
        (str(dataset), str(modality)): part
        for (dataset, modality), part in binned.sort("dataset", "modality").group_by(
            ["dataset", "modality"], maintain_order=True
        )
    }
    found = []
    for one, first in groups.items():
        for two, second in groups.items():
            if one[1] != "vision" or two[1] == "vision":
                continue
            for measure in _MEASURES:
                facts = dict(zip(_PAIR, (*one, *two, measure), strict=True))
                pair = _pair(first.drop_nulls(measure), second.drop_nulls(measure), facts, measure)
                if pair is not None:
                    found.append(pair)
    return found


def _pair(
    first: pl.DataFrame, second: pl.DataFrame, facts: dict[str, Any], measure: str
) -> _Two | None:
    both = sorted(set(first["region"]) & set(second["region"]))
    if len(both) < MINIMUM_REGIONS:
        return None
    cubes, models = [], []
    cell = pl.format("{}|{}", pl.col("bin"), pl.col("region"))
    tables = [
        profile_matrix(
            rows.filter(pl.col("region").is_in(both)).with_columns(cell=cell), measure, place="cell"
        )
        for rows in (first, second)
    ]
    shared = set(tables[0].places) & set(tables[1].places)
    places = [n for n in both if all(f"{index}|{n}" in shared for index in range(BINS))]
    if len(places) < MINIMUM_REGIONS:
        return None
    for table in tables:
        at = {name: index for index, name in enumerate(table.places)}
        columns = [at[f"{index}|{name}"] for index in range(BINS) for name in places]
        means = family_means(table.values[:, columns], table.families)[1]
        cubes.append(means.reshape(len(means), BINS, len(places)))
        models.append(len(table.models))
    counts = (len(places), models[0], len(cubes[0]), models[1], len(cubes[1]))
    return _Two(cubes[0], cubes[1], places, facts | dict(zip(_COUNTS, counts, strict=True)))


def _fisher(first: Floats, second: Floats) -> float:
    r = profile_r(first, second)
    return math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r))) if not math.isnan(r) else math.nan


def _unit(profiles: Floats) -> Floats:
    centred = profiles - profiles.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Floats = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return unit


def _table(rows: Rows, schema: dict[str, Any]) -> pl.DataFrame:
    table = pl.DataFrame(rows, schema=schema, strict=False)
    return table.with_columns(pl.selectors.float().fill_nan(None))
