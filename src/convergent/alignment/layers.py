"""Choosing a layer on training data and scoring it on held-out data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.alignment.constant import SCORE
from convergent.alignment.means import mean_defined
from convergent.errors import DataError


class LayerChoice(NamedTuple):
    """The best layer of every fold and region, and what it scores.

    Attributes
    ----------
    score : ndarray of float64, shape (..., region)
        Outer score of the chosen layers, mean over folds.
    layer : ndarray of int, shape (..., fold, region)
        Index of the chosen layer; -1 where no layer has an inner score.
    """

    score: NDArray[np.float64]
    layer: NDArray[np.intp]


def choose_layers(inner: ArrayLike, outer: ArrayLike) -> LayerChoice:
    """Choose by the inner score, fold by fold, and score on that fold's held-out samples.

    A maximum over layers grows with the number of layers even where there is no alignment.
    The choice uses training data only, and the null must make the same choice: give the scores
    of permuted responses with a leading permutation axis.

    Parameters
    ----------
    inner : array_like, shape (..., layer, fold, region)
        Scores from the training part of each outer fold.
    outer : array_like, shape (..., layer, fold, region)
        Scores on the test part.

    Returns
    -------
    LayerChoice
        Ties (scores that differ by rounding) go to the first (shallowest) layer. NaN inner scores
        are never chosen; a fold whose chosen layer has no outer score is left out of the mean, and
        NaN comes of none.

    Raises
    ------
    DataError
        The shapes differ, or there is no layer.
    """
    inside = np.asarray(inner, dtype=np.float64)
    outside = np.asarray(outer, dtype=np.float64)
    if inside.shape != outside.shape or inside.ndim < 3 or inside.shape[-3] == 0:
        raise DataError(
            f"inner scores {inside.shape} and outer scores {outside.shape} do not match",
            where="layer choice",
            fix="give both the shape (..., layer, fold, region) with at least one layer",
        )
    known = ~np.isnan(inside)
    shape = (*inside.shape[:-3], *inside.shape[-2:])
    layer, best = np.zeros(shape, dtype=np.intp), np.full(shape, -np.inf)
    for k in range(inside.shape[-3]):
        better = inside[..., k, :, :] > best + SCORE
        layer[better], best[better] = k, inside[..., k, :, :][better]
    chosen = np.take_along_axis(outside, layer[..., None, :, :], axis=-3)[..., 0, :, :]
    none = ~known.any(axis=-3)
    score = mean_defined(np.where(none, np.nan, chosen), axis=-2)
    return LayerChoice(score, np.where(none, -1, layer))


class LayerMaximum:
    """What `choose_layers` chooses, of layers that are given one at a time and not kept.

    Attributes
    ----------
    depth : ndarray of float64, shape (..., fold, region)
        Of the chosen layers; NaN where no layer has an inner score.
    """

    depth: NDArray[np.float64]

    def __init__(self) -> None:
        self._inner: NDArray[np.floating] | None = None

    def add(self, inner: NDArray[np.floating], outer: NDArray[np.floating], depth: float) -> None:
        """Take a layer's scores where it is better than those before.

        Parameters
        ----------
        inner, outer : ndarray, shape (..., fold, region)
            Scores from the training part of each outer fold, and on its test part.
        depth : float

        Raises
        ------
        DataError
            The shapes differ.
        """
        if self._inner is None:
            self._inner, self._outer = np.full_like(inner, np.nan), np.full_like(outer, np.nan)
            self.depth = np.full(inner.shape, np.nan)
        if not inner.shape == outer.shape == self._inner.shape:
            raise DataError(
                f"inner scores {inner.shape} and outer scores {outer.shape} do not match those of "
                f"the layers before, {self._inner.shape}",
                where="layer choice",
                fix="give all layers the same folds and regions",
            )
        # comparisons with NaN are false: a layer without an inner score is never chosen
        better = (inner > self._inner + SCORE) | (np.isnan(self._inner) & ~np.isnan(inner))
        np.copyto(self._inner, inner, where=better)
        np.copyto(self._outer, outer, where=better)
        self.depth[better] = depth

    @property
    def score(self) -> NDArray[np.float64]:
        """Outer score of the chosen layers, mean over folds, (..., region)."""
        return mean_defined(self._outer, axis=-2)
