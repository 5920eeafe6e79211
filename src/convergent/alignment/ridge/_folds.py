"""Choosing alpha by inner folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment._constant import is_constant_range, mean_of, same_rows
from convergent.alignment._splits import Split, positions_of
from convergent.alignment.ridge._columns import Columns, correlation
from convergent.alignment.ridge._compress import TOLERANCE, compress, split_functions
from convergent.alignment.ridge._eigen import Eigen, diagonalise, drowns
from convergent.alignment.ridge._filter import Filter
from convergent.alignment.ridge._space import (
    Dual,
    FeatureSource,
    GramSource,
    Primal,
    Source,
    smaller_space,
)
from convergent.alignment.ridge._targets import Block, tiles

Floats = NDArray[np.float64]

# Bytes of held-out predictions (target, function, inner test) at once, unless that is fewer than
# this many targets: products of few rows run slower.
BUDGET, FEWEST = 8 * 2**20, 768


@dataclass(frozen=True)
class InnerMap:
    """What predicts the rows of one inner fold.

    Attributes
    ----------
    train, test : Tensor of int64
        Positions in the outer training set.
    basis : Tensor, shape (inner train, component), or None
        Responses are multiplied by it first, where that is less work.
    map : Tensor, shape (function * (inner test + 1), input)
        The function is the slow axis. Predictions about the mean of the inner training set, which
        does not depend on alpha and so is no part of what is mixed; less their mean over the
        inner test rows, of which the last is that mean times the root of their number.
    alike : bool
        All test rows have the same features.
    """

    train: Tensor
    test: Tensor
    basis: Tensor | None
    map: Tensor
    alike: bool


class InnerFolds:
    """One outer fold whose alphas minimise the mean over inner folds of the squared error.

    Features are scaled by the whole outer training set and centred anew, as are the responses,
    in each inner fold: scikit-learn's ``GridSearchCV(Ridge(), scoring="neg_mean_squared_error")``
    and himalaya's ``RidgeCV``, each after a StandardScaler.

    In the eigenbasis of an inner fold predictions are linear in the filters l / (l + alpha), and
    all filters are combinations of a few functions (`compress`). Responses are multiplied by one
    map a function; the errors of all alphas are then quadratic forms in the inner products of
    these few predictions and the truth.

    The inner score is the mean over inner folds of the Pearson r at the chosen alpha.

    Parameters
    ----------
    source : Source
    split : Split
    inner : sequence of Split
        Rows of the complete data, within ``split.train``.
    alphas : ndarray, shape (alpha,)
    dtype : torch.dtype
    """

    def __init__(
        self,
        source: Source,
        split: Split,
        inner: Sequence[Split],
        alphas: Floats,
        *,
        dtype: torch.dtype,
    ) -> None:
        space = smaller_space(source, split)
        smallest = float(alphas[0])
        outer = diagonalise(space, source, split, smallest_alpha=smallest)
        self._filter = Filter(outer, alphas, dtype)
        inside = _within(space, source, split, min(s.train.size for s in inner), smallest)
        places = [_places(s, split) for s in inner]
        parts = [
            diagonalise(smaller_space(inside, s), inside, s, smallest_alpha=smallest)
            for s in places
        ]
        values = torch.cat([e.values for e in parts]).cpu().numpy()
        shrink = values / (values + alphas[:, None])
        # r sees the shape of a prediction, however small it is
        found = compress(shrink, values, shrink.max(axis=1, initial=0.0), TOLERANCE[dtype])
        functions = split_functions(found, [e.values.numel() for e in parts])
        self._maps = tuple(
            _inner_map(e, s, torch.from_numpy(f), dtype)
            for e, s, f in zip(parts, places, functions, strict=True)
        )
        # An error of alpha a is v' G v, with the inner products G of predictions and truth
        self._mix = torch.from_numpy(found.mix).to(outer.values)
        errors = np.concatenate([found.mix, np.full((alphas.size, 1), -1.0)], axis=1)
        forms = (errors[:, :, None] * errors[:, None, :]).reshape(alphas.size, -1)
        self._forms = torch.from_numpy(forms.T).to(outer.values)

    def score(self, block: Block, *, keep: bool = False) -> Columns:
        """Choose alpha on the training responses and score the test responses."""
        y = block.train
        largest = (max(m.test.numel() for m in self._maps) + 1) * (self._mix.shape[1] + 1)
        size = max(FEWEST, BUDGET // (largest * y.element_size()))
        pieces = tiles(len(y), size)
        parts = [self._choose(y[start:stop], block.grain[start:stop]) for start, stop in pieces]
        index = torch.cat([p[0] for p in parts])
        inner_r = torch.cat([p[1] for p in parts])
        found = self._filter.score_responses(index, block, keep=keep)
        return Columns(index, inner_r, found.r, found.r2, found.prediction)

    def _choose(self, y: Tensor, grain: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the chosen alpha and its inner r."""
        found = [self._products(y, grain, fold) for fold in self._maps]
        counts = [fold.test.numel() for fold in self._maps]
        loss = y.new_zeros((len(y), self._forms.shape[1]), dtype=torch.float64)
        for (gram, level, _), n in zip(found, counts, strict=True):
            whole = gram + level[:, :, None] * level[:, None, :]
            loss += (whole.flatten(1) @ self._forms) / n
        index = loss.argmin(dim=1)
        mix = self._mix[index, None]
        r, known = torch.zeros_like(loss[:, 0]), torch.zeros_like(index)
        for (gram, _, varies), fold in zip(found, self._maps, strict=True):
            if not fold.alike:  # predictions that are the same for all rows have an r of 0
                r += torch.where(varies, _inner_r(gram, mix), 0.0)
            known += varies
        varies = ~is_constant_range(y.amin(dim=1), y.amax(dim=1), grain) & (known > 0)
        return index, torch.where(varies, r / known, torch.nan)  # 0 / 0: no fold knows

    def _products(self, y: Tensor, grain: Tensor, fold: InnerMap) -> tuple[Tensor, Tensor, Tensor]:
        """Inner products of predictions and truth over the test rows; whether the truth varies.

        Returns
        -------
        products : Tensor of float64, shape (target, function + 1, function + 1)
            About the means over the test rows: a mean that is large against what varies, where a
            level jumps from fold to fold, would cost the digits of r.
        level : Tensor of float64, shape (target, function + 1)
            These means, times the root of the number of rows.
        varies : Tensor of bool, shape (target,)
        """
        inputs, mean, flat = _about_mean(y.index_select(1, fold.train), grain)
        truth, level, constant = _about_mean(y.index_select(1, fold.test), grain)
        inputs.masked_fill_(flat[:, None], 0.0)
        if fold.basis is not None:
            inputs = inputs @ fold.basis
        n, functions = fold.test.numel(), self._mix.shape[1]
        rows = y.new_empty((len(y), functions + 1, n + 1))
        torch.mm(inputs, fold.map.T, out=rows.flatten(1)[:, : functions * (n + 1)])
        rows[:, -1, :n] = truth
        levels = rows[:, :, n].to(torch.float64)
        levels[:, -1] = (level - mean) * n**0.5
        centred = rows[:, :, :n]
        products = (centred @ centred.transpose(1, 2)).to(torch.float64)
        return products, levels, ~constant


def _about_mean(values: Tensor, grain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows less their mean, that mean in float64, and whether the rows are constant."""
    constant = is_constant_range(values.amin(dim=1), values.amax(dim=1), grain)
    mean = values.mean(dim=1, keepdim=True)
    values -= mean
    left = values.mean(dim=1, keepdim=True)  # a mean in float32 was rounded
    values -= left
    return values, (mean.double() + left.double())[:, 0], constant


def _inner_r(gram: Tensor, mix: Tensor) -> Tensor:
    """Pearson r over test rows at one alpha a target, from inner products about the means.

    Parameters
    ----------
    gram : Tensor of float64, shape (target, function + 1, function + 1)
    mix : Tensor of float64, shape (target, 1, function)
    """
    functions = mix.shape[2]
    mixed = (mix @ gram[:, :functions])[:, 0]  # with each function, and the truth
    squares = (mixed[:, :functions] * mix[:, 0]).sum(dim=1)
    norm = squares.clamp(min=0.0).sqrt() * gram[:, -1, -1].sqrt()
    return correlation(mixed[:, -1], norm)


def _inner_map(eigen: Eigen, split: Split, functions: Tensor, dtype: torch.dtype) -> InnerMap:
    """Make the map of one inner fold from its decomposition and functions of its eigenvalues."""
    functions = functions.to(eigen.values)
    basis = eigen.basis.to(dtype)
    test = eigen.test / eigen.values.sqrt()
    (n, width), tested, count = basis.shape, len(test), len(functions)
    project = _projecting_is_cheaper(width, n, count * tested)
    middle = mean_of(test)
    test = torch.cat([test - middle, middle * tested**0.5])
    made = basis.new_empty((count, tested + 1, width if project else n))
    for function, place in zip(functions, made, strict=True):
        filtered = (test * function).to(dtype)
        place.copy_(filtered if project else filtered @ basis.T)
    return InnerMap(
        train=torch.from_numpy(split.train).to(basis.device),
        test=torch.from_numpy(split.test).to(basis.device),
        basis=basis if project else None,
        map=made.flatten(0, 1),
        alike=same_rows(eigen.test),
    )


def _projecting_is_cheaper(width: int, n: int, predictions: int) -> bool:
    """Compare a projection and a map of projections with a map of responses."""
    return width * (n + predictions) < predictions * n


def _within(
    space: Dual | Primal, source: Source, split: Split, fewest: int, smallest_alpha: float
) -> Source:
    """Features of the outer training rows, scaled as they are there, for the inner folds."""
    if isinstance(space, Dual):
        if drowns(space.gram, smallest_alpha):
            known = source.primal(split)
            if known is not None:
                return FeatureSource(known.train, scale=False)
        return GramSource(space.gram, source.width)
    if source.width < fewest - 1 or drowns(space.covariance, smallest_alpha):
        return FeatureSource(space.train, scale=False)
    return GramSource(space.train @ space.train.T, source.width)


def _places(inner: Split, split: Split) -> Split:
    """Positions in the outer training set."""
    return Split(positions_of(inner.train, split.train), positions_of(inner.test, split.train))
