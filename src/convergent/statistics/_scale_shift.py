"""Do regions further along the axis align at larger scales?"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from convergent.alignment._constant import is_constant_array, without_rounding

from ._profiles import MINIMUM_FAMILIES

Floats = NDArray[np.float64]


class Shift(NamedTuple):
    """Shift of the centre of the curve over scales along an axis.

    Attributes
    ----------
    slope : float
        In units of the scales' logarithm to base 2, over the whole axis (position 0 to 1). NaN
        where nothing aligns.
    low, high : float
        95 % interval over families (Fieller's); NaN where it is unbounded.
    t, p : float
        Over families, two-sided; NaN with fewer than 3.
    p_spin : float
        Over places: against rotations of the axis, two-sided; NaN without any.
    families : int
    """

    slope: float
    low: float
    high: float
    t: float
    p: float
    p_spin: float
    families: int


def scale_shift(
    scores: ArrayLike,
    log_scale: ArrayLike,
    position: ArrayLike,
    *,
    given: ArrayLike | None = None,
    spun: ArrayLike | None = None,
    level: float = 0.95,
) -> Shift:
    """Test whether the curve of alignment over scales moves along the axis.

    With a_r the score of region r summed over scales and b_r the same weighted by the scales'
    logarithm, the centre of its curve is b_r / a_r. Where curves differ in height alone, all
    centres are one. Their covariance with the position, each region weighing its score, is
    ``sum(c b) sum(a) - sum(b) sum(c a)``, c the centred position, over ``sum(a) ** 2``; this is
    computed in each family without dividing by scores that may be 0. For unrelated
    representations a and b of an unbiased score are 0 on average and the two products have the
    same mean whatever the regions' sizes, so that the t test over families is centred on 0; a
    biased score's a and b depend on size and scale, and the test finds a shift in nothing.

    The t test asks whether other models would show the same, in these regions of these people.
    Regions' curves also differ for reasons of their own, and would from any axis: that asks for
    the spatial null. A shift along the axis needs both.

    Parameters
    ----------
    scores : array_like, shape (family, region, scale)
        Of an unbiased metric, not normalised by anything that depends on the scores.
    log_scale : array_like, shape (scale,)
        To base 2.
    position : array_like, shape (region,)
    given : array_like, shape (region, covariate), optional
        What is taken out of the position by least squares: noise ceilings, sizes of regions.
    spun : array_like, shape (rotation, region), optional
        From `Axis.spun`.
    level : float

    Returns
    -------
    Shift

    References
    ----------
    Fieller, J. R. Stat. Soc. B 16 (1954) 175-185.
    """
    values = np.asarray(scores, dtype=np.float64)
    position = np.asarray(position, dtype=np.float64)
    families = len(values)
    covariates = np.ones((len(position), 1))
    if given is not None:
        covariates = np.column_stack([covariates, np.asarray(given, dtype=np.float64)])
    c = without_rounding(_residual(position, covariates), position)
    steps = np.asarray(log_scale, dtype=np.float64)
    a, b = values.sum(axis=2), values @ (steps - steps.mean())
    size = np.maximum((a**2).sum(axis=1), np.finfo(float).tiny)
    # what each region adds to the covariance, per unit of position
    pull = (b * a.sum(axis=1)[:, None] - b.sum(axis=1)[:, None] * a) / size[:, None]
    moved = pull @ c
    spread = ((a @ (c * position)) * a.sum(axis=1) - (a @ c) * (a @ position)) / size
    nothing = math.nan
    if families < MINIMUM_FAMILIES or is_constant_array(c):
        return Shift(nothing, nothing, nothing, nothing, nothing, nothing, families)
    total = float(spread.mean())
    slope = float(moved.mean()) / total if total > 0 else nothing
    error = float(moved.std(ddof=1)) / math.sqrt(families)
    t = float(moved.mean()) / error if error > 0 else nothing
    p = float(2 * stats.t.sf(abs(t), families - 1))
    critical = float(stats.t.ppf((1 + level) / 2, families - 1))
    low, high = _fieller(moved, spread, critical)
    p_spin = nothing
    if spun is not None and len(np.asarray(spun)):
        rotated = _residual(np.asarray(spun, dtype=np.float64).T, covariates).T
        rotated = rotated / np.linalg.norm(rotated, axis=1, keepdims=True)
        mean = pull.mean(axis=0)
        observed = abs(float(mean @ c)) / float(np.linalg.norm(c))
        reached = int((np.abs(rotated @ mean) >= observed - 1e-12).sum())
        p_spin = (1 + reached) / (1 + len(rotated))
    return Shift(slope, low, high, t, p, p_spin, families)


def _residual(values: Floats, covariates: Floats) -> Floats:
    rest: Floats = values - covariates @ np.linalg.lstsq(covariates, values, rcond=None)[0]
    return rest


def _fieller(above: Floats, below: Floats, critical: float) -> tuple[float, float]:
    """Interval of a ratio of means: the ratios that a t test of above - ratio * below accepts."""
    n = len(above)
    x, y = float(above.mean()), float(below.mean())
    cov = np.cov(above, below) / n
    g = critical**2
    first = y * y - g * cov[1, 1]
    middle = x * y - g * cov[0, 1]
    last = x * x - g * cov[0, 0]
    root = middle**2 - first * last
    if first <= 0 or root < 0:
        return math.nan, math.nan
    return (middle - math.sqrt(root)) / first, (middle + math.sqrt(root)) / first
