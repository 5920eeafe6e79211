"""What the models that may have been trained on the stimuli do to r."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._correlation import is_constant, pearson
from ._families import Array, Families, Moments, intraclass
from ._family_test import MINIMUM_FAMILIES


class Contamination(NamedTuple):
    """r with and without the tagged models.

    Attributes
    ----------
    n_tagged : int
    r, r_without : float
    difference : float
        r - r_without.
    low, high : float
        Its interval; NaN where there is none.
    p : float
        Of a difference as large from leaving out as many models of the same families.
    reason : str
        Why there is no interval; empty otherwise.
    """

    n_tagged: int
    r: float
    r_without: float
    difference: float
    low: float
    high: float
    p: float
    reason: str


def contamination_effect(
    x: ArrayLike,
    y: ArrayLike,
    family: Sequence[str],
    tagged: ArrayLike,
    *,
    draws: int,
    seed: int,
    level: float = 0.95,
) -> Contamination:
    """Compare r of all models with r without the tagged ones.

    Both r share most of their models, so that neither's interval tells whether they differ. Pairs
    are drawn (parametric bootstrap) from two normal variables with the r and the shares between
    families of all models, as if tags meant nothing. Statistic: the difference
    of the two atanh r; the interval is that -+ the null's quantile of its absolute value, with
    r_without taken as it is.

    Parameters
    ----------
    x, y : array_like, shape (model,)
    family : sequence of str, length model
    tagged : array_like of bool, shape (model,)
    draws : int
    seed : int
    level : float, default 0.95

    Returns
    -------
    Contamination
    """
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    out = np.asarray(tagged, dtype=bool)
    labels = np.asarray(family, dtype=str)
    kept = ~out
    nothing = (math.nan,) * 3
    r, without = pearson(a, b), pearson(a[kept], b[kept])
    count, difference = int(out.sum()), r - without
    reason = _why_not(a, b, labels, kept)
    if reason:
        return Contamination(count, r, without, difference, *nothing, reason)
    families = Families.of(labels)
    moments = Moments.of(a, b, families)
    icc_x = float(intraclass(moments.mean_x, moments.within_xx, families)[0])
    icc_y = float(intraclass(moments.mean_y, moments.within_yy, families)[0])
    rng = np.random.default_rng([seed, a.size, count])
    null = np.sort(np.abs(_differences(families, kept, (icc_x, icc_y, r), draws, rng)))
    rank = min(math.ceil(level * (draws + 1)), draws) - 1
    half = float(null[rank])
    z, base = _atanh(r), _atanh(without)
    p = (int(np.sum(null >= abs(z - base) - 1e-9)) + 1) / (draws + 1)
    low, high = (math.tanh(end) - without for end in (z - half, z + half))
    return Contamination(count, r, without, difference, low, high, p, "")


def _atanh(r: float) -> float:
    return math.atanh(max(-1 + 1e-12, min(1 - 1e-12, r)))


def _why_not(a: Array, b: Array, labels: NDArray[np.str_], kept: NDArray[np.bool_]) -> str:
    if kept.all():
        return "no model is tagged"
    if int(kept.sum()) < 4 or is_constant(a[kept]) or is_constant(b[kept]):
        return f"{int(kept.sum())} model(s) are left without the tagged ones"
    found = np.unique(labels[kept]).size
    if found < MINIMUM_FAMILIES:
        return f"{found} families are left; an interval needs at least {MINIMUM_FAMILIES}"
    return ""


def _differences(
    families: Families,
    kept: NDArray[np.bool_],
    truth: tuple[float, float, float],
    draws: int,
    rng: np.random.Generator,
) -> Array:
    icc_x, icc_y, r = truth
    # what the shares leave possible: with unlike shares the two cannot correlate as closely
    reach = math.sqrt(icc_x * icc_y) + math.sqrt((1 - icc_x) * (1 - icc_y))
    inner = float(np.clip(r / reach, -0.999, 0.999))
    count = families.size.size
    between = rng.standard_normal((2, draws, count))
    own = rng.standard_normal((2, draws, families.models))
    rest = math.sqrt(1 - inner**2)
    between[1] = inner * between[0] + rest * between[1]
    own[1] = inner * own[0] + rest * own[1]
    x, y = (
        math.sqrt(icc) * between[i][:, families.member] + math.sqrt(1 - icc) * own[i]
        for i, icc in enumerate((icc_x, icc_y))
    )
    return np.asarray(
        np.arctanh(_pearson_rows(x, y)) - np.arctanh(_pearson_rows(x[:, kept], y[:, kept]))
    )


def _pearson_rows(x: Array, y: Array) -> Array:
    a, b = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    r = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray(np.clip(r, -1 + 1e-12, 1 - 1e-12))
