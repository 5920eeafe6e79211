"""Which regions align above chance, which networks stand out, and where modalities differ."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from convergent.alignment._constant import PRODUCT

from ._multiplicity import benjamini_hochberg
from ._profiles import MINIMUM_FAMILIES, family_means

Floats = NDArray[np.float64]


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
