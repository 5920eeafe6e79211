"""The features of one outer fold, as a Gram matrix (few samples) or covariance (few features)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from convergent.alignment._constant import PRODUCT, same_rows
from convergent.alignment._splits import Index, Split
from convergent.alignment.ridge._gram import (
    FEATURE_BLOCK,
    Gram,
    add_lower_products,
    inner_products,
    mirrored,
)
from convergent.alignment.ridge._standardise import standardise


@dataclass(frozen=True)
class Dual:
    """Inner products of centred features.

    Attributes
    ----------
    gram : Tensor of float64, shape (train, train)
    cross : Tensor of float64, shape (test, train)
    alike : bool
        All test samples have the same features.
    """

    gram: Tensor
    cross: Tensor
    alike: bool


@dataclass(frozen=True)
class Primal:
    """Centred features.

    Attributes
    ----------
    train, test : Tensor of float64, shape (train, feature) and (test, feature)
    covariance : Tensor of float64, shape (feature, feature)
        ``train.T @ train``.
    alike : bool
        All test samples have the same features.
    """

    train: Tensor
    test: Tensor
    covariance: Tensor
    alike: bool


class Source(Protocol):
    """Where the features of a fold come from."""

    samples: int
    width: int

    def dual(self, split: Split) -> Dual:
        """Gram matrix of the training rows, and of the test with the training rows."""

    def primal(self, split: Split) -> Primal | None:
        """Features of the rows; None where only inner products are known."""


class FeatureSource:
    """Features in memory, standardised anew by the training rows of every fold.

    Parameters
    ----------
    x : Tensor, shape (sample, feature)
        In any floating dtype; converted to float64 a block of features at a time.
    scale : bool
        Give features unit training variance.
    """

    def __init__(self, x: Tensor, *, scale: bool) -> None:
        self._x = x
        self._scale = scale
        self.samples, self.width = x.shape

    def dual(self, split: Split) -> Dual:
        train, test = (_rows(r, self._x) for r in (split.train, split.test))
        gram = self._x.new_zeros((train.numel(), train.numel()), dtype=_F64)
        cross = self._x.new_zeros((test.numel(), train.numel()), dtype=_F64)
        alike = True
        for start in range(0, self.width, FEATURE_BLOCK):
            block = self._x[:, start : start + FEATURE_BLOCK]
            inside, outside = standardise(
                block[train].to(_F64), block[test].to(_F64), scale=self._scale
            )
            add_lower_products(gram, inside)
            cross.addmm_(outside, inside.T)
            alike = alike and same_rows(outside)
        return Dual(mirrored(gram), cross, alike)

    def primal(self, split: Split) -> Primal:
        train, test = (_rows(r, self._x) for r in (split.train, split.test))
        inside, outside = standardise(
            self._x[train].to(_F64), self._x[test].to(_F64), scale=self._scale
        )
        covariance = inside.new_zeros((inside.shape[1], inside.shape[1]))
        add_lower_products(covariance, inside.T)
        return Primal(inside, outside, mirrored(covariance), same_rows(outside))


class GramSource:
    """Inner products only: folds are cut out of them and centred again.

    Parameters
    ----------
    gram : Tensor of float64, shape (sample, sample)
    width : int
        Number of features.
    """

    def __init__(self, gram: Tensor, width: int) -> None:
        self._gram = gram
        self.samples, self.width = gram.shape[0], width

    def dual(self, split: Split) -> Dual:
        train, test = (_rows(r, self._gram) for r in (split.train, split.test))
        # copies have the same inner products with all stimuli, but for rounding
        alike = bool((_distances(self._gram, test) <= PRODUCT).all())
        return Dual(*recentred(self._gram, train, test), alike)

    def primal(self, split: Split) -> None:
        return None


def source(features: Tensor | Gram, device: torch.device, *, scale: bool, folds: int) -> Source:
    """Choose how folds get their features.

    Unscaled wide features are multiplied once, into one Gram matrix that all folds are cut from;
    scaling depends on the training rows, and so does then the Gram matrix.
    """
    if isinstance(features, Gram):
        return GramSource(torch.from_numpy(features.matrix).to(device), features.width)
    n, p = features.shape
    if not scale and folds > 1 and p >= n:
        return GramSource(inner_products(features), p)
    return FeatureSource(features, scale=scale)


def smaller_space(source: Source, split: Split) -> Dual | Primal:
    """Covariance or Gram matrix of a fold, whichever is smaller (and known)."""
    primal = source.primal(split) if source.width < split.train.size - 1 else None
    return primal or source.dual(split)


def recentred(gram: Tensor, train: Tensor, test: Tensor) -> tuple[Tensor, Tensor]:
    """Inner products of the training, and of test with training rows, about the training mean."""
    inside, outside = gram[train][:, train], gram[test][:, train]
    mean = inside.mean(dim=0)
    centred = inside - mean - mean[:, None] + mean.mean()
    cross = outside - mean - outside.mean(dim=1, keepdim=True) + mean.mean()
    return (centred + centred.T) / 2, cross


def _distances(gram: Tensor, rows: Tensor) -> Tensor:
    """Squared distances of samples from the first of them, relative to their size, (row,)."""
    square = gram.diagonal()[rows]
    away = square + square[0] - 2 * gram[rows, rows[0]]
    size = square + square[0]
    return away / torch.where(size > 0, size, 1.0)


_F64 = torch.float64


def _rows(rows: Index, like: Tensor) -> Tensor:
    return torch.from_numpy(rows).to(like.device)
