"""Models in families: what one number a model, shared within families, says about itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
