"""Which regions do models align with? With the false discovery rate kept in check."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

from convergent.alignment.constant import PRODUCT
from convergent.brains.atlas import open_atlas
from convergent.statistics.correlation import benjamini_hochberg
from convergent.statistics.cortex import MINIMUM_REGIONS, Surface
from convergent.statistics.summaries import (
    ALIGNMENT_COLUMNS,
    one_metric,
    require_columns,
    without_nan,
)

_GROUP = ["dataset", "modality", "family", "model", "checkpoint", "role", "step", "final", "choice"]


def region_profile(alignment: pl.DataFrame) -> pl.DataFrame:
    """Alignment of each checkpoint with each region, over subjects, tested over regions.

    The p value of a region is that of the mean over subjects, against the same mean in each
    permutation of the stimuli (``p_permutation``). Subjects who saw the same stimuli share what
    these evoke, so their p values are not independent and must not be multiplied.
    Benjamini-Hochberg runs over the regions of one (dataset, model, checkpoint, choice). No region
    is masked: the ceiling stands beside the score.

    Parameters
    ----------
    alignment : DataFrame
        Alignment table; ``p_permutation`` and ``p_fwe`` (permutation), ``depth`` (chosen relative
        depth) and ``axis_position`` are used where the table has them.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, family, model, checkpoint, role, step, final, choice,
        region, network): score and score_normalised (means over subjects), noise_ceiling, depth,
        hemisphere (empty where the data name none), axis_position, n_subjects, p (null without
        permutations), p_fwe (against the largest region of each permutation) and q.

    Raises
    ------
    TableError
        If a column is missing.
    """
    require_columns(alignment, ALIGNMENT_COLUMNS, "alignment")
    one_metric(alignment)
    frame = without_nan(alignment)
    absent = [
        name
        for name in ("p_permutation", "p_fwe", "depth", "axis_position")
        if name not in frame.columns
    ]
    frame = frame.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in absent)
    if "hemisphere" not in frame.columns:
        frame = frame.with_columns(hemisphere=pl.lit(None, dtype=pl.String))
    keys = [*_GROUP, "region", "network"]
    means = (
        frame.sort([*keys, "subject"], nulls_last=True)
        .group_by(keys, maintain_order=True)
        .agg(
            pl.col("score", "score_normalised", "noise_ceiling", "depth").mean(),
            pl.col("hemisphere").first().fill_null(""),
            pl.col("axis_position").first(),
            n_subjects=pl.col("score").count().cast(pl.Int64),
            p=pl.col("p_permutation").first(),
            p_fwe=pl.col("p_fwe").first(),
        )
    )
    parts = [
        part.with_columns(
            q=pl.Series("q", benjamini_hochberg(part["p"].fill_null(math.nan).to_numpy()))
        )
        for _, part in means.group_by(_GROUP, maintain_order=True)
    ]
    return without_nan(pl.concat(parts)) if parts else means.with_columns(q=pl.col("p"))


def modality_profile(profile: pl.DataFrame) -> pl.DataFrame:
    """Average the region profiles of the final trained models of each modality.

    Parameters
    ----------
    profile : DataFrame
        From `region_profile`.

    Returns
    -------
    DataFrame
        One row per (dataset, modality, choice, region, network): score, score_normalised, depth
        (means over models), score_sd, noise_ceiling, hemisphere, axis_position, n_models,
        n_significant (models with q < 0.05; null when nothing was permuted).
    """
    keys = ["dataset", "modality", "choice", "region", "network"]
    return (
        profile.filter((pl.col("role") == "trained") & pl.col("final"))
        .group_by(keys)
        .agg(
            pl.col("score", "score_normalised", "noise_ceiling", "depth").mean(),
            score_sd=pl.col("score").std(),
            hemisphere=pl.col("hemisphere").first(),
            axis_position=pl.col("axis_position").first(),
            n_models=pl.col("score").count().cast(pl.Int64),
            n_significant=pl.when(pl.col("q").is_not_null().any()).then(
                (pl.col("q") < 0.05).sum().cast(pl.Int64)
            ),
        )
        .sort("dataset", "modality", "choice", "axis_position", "region", nulls_last=True)
    )


Floats = NDArray[np.float64]

MINIMUM_FAMILIES = 3
# Percentiles of a bootstrap of fewer are a few values, and far too close together.
MINIMUM_RESAMPLED = 5


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
        No rows with fewer than 5 families.
    """
    number = len(means)
    if number < MINIMUM_RESAMPLED:
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


def relative(values: Floats) -> Floats:
    """Each model's profile as deviations from its own mean, in units of its own spread.

    Modalities and models differ in how well they align on the whole; what is compared is where.

    Parameters
    ----------
    values : ndarray, shape (model, place)

    Returns
    -------
    ndarray, shape (model, place)
    """
    centred = values - values.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    profile: Floats = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return profile


def modality_difference(
    first: tuple[Floats, Sequence[str]],
    second: tuple[Floats, Sequence[str]],
    *,
    permutations: int,
    seed: int | Sequence[int],
) -> dict[str, Floats]:
    """Test at every place whether families of two modalities differ, the largest t for all.

    Families are dealt anew to the two modalities, and the largest Welch t over all places is kept
    of each deal: a place whose own t is rarely reached by that differs, whatever the number of
    places. All deals are made where there are few enough.

    Parameters
    ----------
    first, second : (ndarray of shape (model, place), sequence of str)
        Profiles and families of the models of each modality.
    permutations : int
        Deals, if there are more.
    seed : int or sequence of int

    Returns
    -------
    dict of str to ndarray, shape (place,)
        ``effect`` (first less second), ``low``, ``high`` (Welch's interval), ``p`` (by the deals,
        two-sided), ``p_fwe`` (largest t) and ``q`` (Benjamini-Hochberg over p). NaN with fewer than
        3 families on either side.

    References
    ----------
    Westfall & Young, Resampling-based Multiple Testing (1993). Nichols & Holmes,
    Human Brain Mapping 15 (2002) 1-25.
    """
    _, a = family_means(*first)
    _, b = family_means(*second)
    effect = a.mean(axis=0) - b.mean(axis=0)
    if min(len(a), len(b)) < MINIMUM_FAMILIES:
        nothing = np.full(effect.shape, np.nan)
        return {"effect": effect, **dict.fromkeys(("low", "high", "p", "p_fwe", "q"), nothing)}
    both = np.vstack([a, b])
    t = np.abs(_welch(both, np.arange(len(a))[None]))[0]
    p, largest = np.zeros(effect.shape), np.zeros(effect.shape)
    deals = _deals(len(both), len(a), permutations, seed)
    for start in range(0, len(deals), 200):
        null = np.abs(_welch(both, deals[start : start + 200]))
        p += (null >= t - 1e-9).sum(axis=0)
        largest += (null.max(axis=1)[:, None] >= t - 1e-9).sum(axis=0)
    p, largest = p / len(deals), largest / len(deals)
    low, high = _welch_interval(a, b)
    return {
        "effect": effect,
        "low": low,
        "high": high,
        "p": p,
        "p_fwe": largest,
        "q": benjamini_hochberg(p),
    }


def contrasts(values: Floats, members: Floats) -> Floats:
    """Mean of some regions less the mean of all others.

    Parameters
    ----------
    values : ndarray, shape (map, region)
    members : ndarray, shape (set, region)
        Share of each region that belongs to each set, 0 to 1.

    Returns
    -------
    ndarray, shape (map, set)
        NaN for a set of no region, or of all.
    """
    total, rest = members.sum(axis=1, keepdims=True), (1 - members).sum(axis=1, keepdims=True)
    defined = (total > 0) & (rest > 0)
    weights = members / np.where(defined, total, np.nan)
    weights = weights - (1 - members) / np.where(defined, rest, np.nan)
    found: Floats = values @ weights.T
    return found


def spin_contrast(values: Floats, members: Floats, spun: Floats) -> float:
    """Two-sided p of a set's contrast against rotations of the set.

    Parameters
    ----------
    values, members : ndarray, shape (region,)
    spun : ndarray, shape (rotation, region)

    Returns
    -------
    float
        NaN without rotations.
    """
    if not len(spun):
        return float("nan")
    observed = abs(contrasts(values[None], members[None])[0, 0])
    null = np.abs(contrasts(values[None], spun)[0])
    null = null[np.isfinite(null)]
    return float((1 + (null >= observed - 1e-12).sum()) / (1 + null.size))


def _deals(number: int, first: int, permutations: int, seed: Any) -> NDArray[np.intp]:
    """Members of the first group in each deal, the observed one first, (deal, first)."""
    if comb(number, first) <= permutations + 1:
        return np.array(list(combinations(range(number), first)), dtype=np.intp)
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.tile(np.arange(number), (permutations, 1)), axis=1)[:, :first]
    return np.vstack([np.arange(first), drawn])


def _welch(both: Floats, first: NDArray[np.intp]) -> Floats:
    """Welch t of each deal at each place, (deal, place)."""
    number, size = len(both), first.shape[1]
    chosen = np.zeros((len(first), number))
    np.put_along_axis(chosen, first, 1.0, axis=1)
    rest = 1.0 - chosen
    centred = both - both.mean(axis=0)
    square = centred**2
    mean_a, mean_b = chosen @ centred / size, rest @ centred / (number - size)
    var_a = (chosen @ square / size - mean_a**2) / (size - 1)
    var_b = (rest @ square / (number - size) - mean_b**2) / (number - size - 1)
    error = np.sqrt(np.clip(var_a + var_b, 0.0, None))
    difference = mean_a - mean_b
    small = PRODUCT * np.abs(both).max(axis=0, initial=0.0)  # rounding: deals of equal numbers
    t: Floats = np.divide(difference, error, out=np.zeros_like(difference), where=error > small)
    return t


def _welch_interval(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    found = stats.ttest_ind(a, b, axis=0, equal_var=False).confidence_interval()
    return found.low, found.high


Rows = list[dict[str, Any]]

REGION_TEST_SCHEMA: dict[str, Any] = {
    **dict.fromkeys(
        ("question", "dataset", "modality", "other_dataset", "other_modality", "choice"), pl.String
    ),
    **dict.fromkeys(("measure", "kind", "place", "network"), pl.String),
    "axis_position": pl.Float64,
    **dict.fromkeys(
        ("n_regions", "n_models", "n_families", "other_n_models", "other_n_families"), pl.Int64
    ),
    **dict.fromkeys(("n_subjects", "n_models_above"), pl.Int64),
    **dict.fromkeys(("effect", "low", "high", "p", "p_fwe", "q", "p_spin"), pl.Float64),
    "reason": pl.String,
}
_FEW = "fewer than 3 families of a modality"


def region_tests(
    profile: pl.DataFrame,
    surfaces: Mapping[str, Surface],
    *,
    permutations: int,
    seed: int,
) -> pl.DataFrame:
    """Ask of regions and networks whether they align, stand out, and differ between modalities.

    Parameters
    ----------
    profile : DataFrame
        Region profiles of final trained models, with p and p_fwe of each model's own permutations.
    surfaces : mapping of str to Surface
        One a data set.
    permutations : int
        Deals of families.
    seed : int

    Returns
    -------
    DataFrame
        Three questions. ``chance``: is a region's score above that for permuted stimuli? The p
        value of the typical model, see `median_p`; effect and interval are of the mean over
        families. ``network``: does a network lie above the other regions? t test over families
        (p_fwe: Holm) and p_spin of the mean profile against rotations of the network.
        ``modality``: do two modalities measured on one atlas differ in a region or network,
        profiles standardised within each model? Deals of families, p_fwe by the largest t.
    """
    rows: Rows = []
    groups = ["dataset", "modality", "choice"]
    parts = {
        (str(dataset), str(modality), str(choice)): part
        for (dataset, modality, choice), part in profile.sort(groups).group_by(
            groups, maintain_order=True
        )
    }
    for (dataset, modality, choice), part in parts.items():
        common = {"dataset": dataset, "modality": modality, "choice": choice}
        rows += _chance(part, common)
        for measure in ("score", "score_normalised"):
            rows += _networks(part, {**common, "measure": measure}, surfaces[dataset])
    for (one, first), (two, second) in combinations(parts.items(), 2):
        if one[2] != two[2] or one[1] == two[1]:
            continue
        # vision first, whatever the data sets are called
        (one, first), (two, second) = sorted(
            ((one, first), (two, second)), key=lambda part: part[0][1], reverse=True
        )
        for measure in ("score", "score_normalised"):
            facts = {
                **dict(zip(groups, one, strict=True)),
                "other_dataset": two[0],
                "other_modality": two[1],
                "measure": measure,
            }
            rows += _modalities(first, second, facts, surfaces[one[0]], permutations, seed)
    return pl.DataFrame(rows, schema=REGION_TEST_SCHEMA, strict=False)


def networks_of(
    surface: Surface, places: list[str], labels: Mapping[str, str]
) -> tuple[list[str], Floats, list[Floats]]:
    """Members of each network among regions, and the same after rotations.

    Parameters
    ----------
    surface : Surface
    places : list of str
        Regions.
    labels : mapping of str to str
        Network of each region as the data have it, for want of an atlas.

    Returns
    -------
    names : list of str
    members : ndarray, shape (network, region)
    spun : list of ndarray, each of shape (rotation, region)
        Without rows where there is no sphere.
    """
    on_sphere = surface.sphere is not None and all(name in surface.places for name in places)
    if surface.sphere is None or not on_sphere:
        own = np.array([labels.get(name) or "" for name in places])
        names = [name for name in np.unique(own).tolist() if name]
        members = np.array([own == name for name in names], dtype=np.float64)
        members = members.reshape(len(names), len(places))
        return names, members, [np.empty((0, len(places)))] * len(names)
    found = {region.name: region.network for region in open_atlas(surface.sphere.atlas).regions}
    whole = np.array([found[name] for name in surface.sphere.names])
    names, member_rows, spun = [], [], []
    for name in np.unique(whole).tolist():
        indicator = (whole == name).astype(np.float64)
        here = surface.on(indicator, places)
        if name and 0 < here.sum() < len(places):
            names.append(name)
            member_rows.append(here)
            spun.append(surface.spun(indicator, places))
    return names, np.array(member_rows).reshape(len(names), len(places)), spun


def _chance(part: pl.DataFrame, common: dict[str, Any]) -> Rows:
    found = profile_matrix(part, "score")
    if not found.models:
        return []
    counts, facts = _counts(part, found), _facts(part)
    mean = t_over_families(family_means(found.values, found.families)[1])
    own = _same(part, "p", found)
    p = median_p(own, found.families)
    own_fwe = _same(part, "p_fwe", found)
    corrected = median_p(own_fwe, found.families)
    q = benjamini_hochberg(p)
    reason = _too_few(own)
    return [
        {
            **common, **counts, **facts.get(place, {}), "question": "chance", "measure": "score",
            "kind": "region", "place": place, "effect": mean.mean[i],
            "low": _number(mean.low[i]), "high": _number(mean.high[i]), "p": _number(p[i]),
            "p_fwe": _number(corrected[i]), "q": _number(q[i]), "reason": reason,
            "n_models_above": None if reason else int((own_fwe[:, i] < 0.05).sum()),
        }
        for i, place in enumerate(found.places)
    ]  # fmt: skip


def _too_few(p: Floats) -> str | None:
    """Why no region could pass: the least p of any model and region is too large."""
    if not np.isfinite(p).any():
        return "no stimuli were permuted"
    least = 2 * float(np.nanmin(p))
    if least < 0.05:
        return None
    return f"with these permutations of the stimuli no p came below {least:.2g}"


def _networks(part: pl.DataFrame, common: dict[str, Any], surface: Surface) -> Rows:
    found = profile_matrix(part, str(common["measure"]))
    labels = {name: fact["network"] for name, fact in _facts(part).items()}
    names, members, spun = networks_of(surface, found.places, labels)
    if not found.models or not names:
        return []
    families, means = family_means(contrasts(found.values, members), found.families)
    tested = t_over_families(means)
    mean = family_means(found.values, found.families)[1].mean(axis=0)
    q, corrected = benjamini_hochberg(tested.p), _holm(tested.p)
    return [
        {
            **common, **_counts(part, found), "question": "network", "kind": "network",
            "place": name, "network": name, "effect": tested.mean[i],
            "low": _number(tested.low[i]), "high": _number(tested.high[i]),
            "p": _number(tested.p[i]), "p_fwe": _number(corrected[i]), "q": _number(q[i]),
            "p_spin": _number(spin_contrast(mean, members[i], spun[i])),
            "reason": _FEW if len(families) < MINIMUM_FAMILIES else surface.reason or None,
        }
        for i, name in enumerate(names)
    ]  # fmt: skip


def _modalities(
    first: pl.DataFrame,
    second: pl.DataFrame,
    common: dict[str, Any],
    surface: Surface,
    permutations: int,
    seed: int,
) -> Rows:
    """Difference of two modalities, over the regions that both have."""
    measure = str(common["measure"])
    both = set(first.drop_nulls(measure)["region"]) & set(second.drop_nulls(measure)["region"])
    if len(both) < MINIMUM_REGIONS:
        return []
    one, two = (
        profile_matrix(rows.filter(pl.col("region").is_in(sorted(both))), measure)
        for rows in (first, second)
    )
    places = [name for name in one.places if name in set(two.places)]
    if len(places) < MINIMUM_REGIONS:
        return []
    a, b = (relative(found.values[:, _at(found, places)]) for found in (one, two))
    facts = _facts(first)
    counts = {
        **_counts(first, one),
        "n_regions": len(places),
        "other_n_models": len(two.models),
        "other_n_families": len(set(two.families)),
        "n_subjects": None,
        "question": "modality",
    }
    stream = zlib.crc32("|".join(map(str, common.values())).encode())
    labels = {name: fact["network"] for name, fact in facts.items()}
    names, members, spun = networks_of(surface, places, labels)
    difference = family_means(a, one.families)[1].mean(axis=0) - family_means(b, two.families)[
        1
    ].mean(axis=0)
    rows: Rows = []
    for kind, labelled, (x, y) in (
        ("region", places, (a, b)),
        ("network", names, (contrasts(a, members), contrasts(b, members))),
    ):
        if not labelled:
            continue
        tested = modality_difference(
            (x, one.families), (y, two.families), permutations=permutations, seed=[seed, stream]
        )
        for i, place in enumerate(labelled):
            row = {name: _number(values[i]) for name, values in tested.items()}
            about = facts.get(place, {}) if kind == "region" else {"network": place}
            if kind == "network":
                row["p_spin"] = _number(spin_contrast(difference, members[i], spun[i]))
            reason = _FEW if row["p"] is None else None
            rows.append(
                {**common, **counts, **about, "kind": kind, "place": place, **row, "reason": reason}
            )
    return rows


def _counts(part: pl.DataFrame, found: Profiles) -> dict[str, Any]:
    return {
        "n_regions": len(found.places),
        "n_models": len(found.models),
        "n_families": len(set(found.families)),
        "n_subjects": part["n_subjects"].max(),
    }


def _facts(part: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """Network and position of each region."""
    rows = part.select("region", "network", "axis_position").unique("region", maintain_order=True)
    return {
        region: {"network": network, "axis_position": order}
        for region, network, order in rows.iter_rows()
    }


def _same(part: pl.DataFrame, column: str, found: Profiles) -> Floats:
    """Another column in the same layout, NaN where it is null, (model, place)."""
    values = np.full(found.values.shape, np.nan)
    model = {name: i for i, name in enumerate(found.models)}
    place = {name: i for i, name in enumerate(found.places)}
    for name, region, value in part.select("model", "region", column).drop_nulls().iter_rows():
        if name in model and region in place:
            values[model[name], place[region]] = value
    return values


def _at(found: Profiles, places: list[str]) -> list[int]:
    index = {name: at for at, name in enumerate(found.places)}
    return [index[name] for name in places]


def _holm(p: Floats) -> Floats:
    made = np.isfinite(p)
    adjusted = np.full(p.shape, np.nan)
    if made.any():
        adjusted[made] = multipletests(p[made], method="holm")[1]
    return adjusted


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
