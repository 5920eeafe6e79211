"""One subject's responses, and what the folds say of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.alignment._fold import ColumnScores, FoldFit, in_batches
from convergent.alignment._means import mean_defined, region_means
from convergent.alignment._orders import Orders, check_orders
from convergent.alignment._validate import finite_responses
from convergent.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RidgeScores:
    """What a cross-validated ridge fit says about each target.

    Attributes
    ----------
    r, r2 : ndarray of float64, shape (target,)
        Mean over the folds in which the target is not constant; NaN if there is none.
    fold_r, fold_r2 : ndarray of float64, shape (fold, target)
        Held-out Pearson r (signed) and R2 about the test mean. NaN where the target is constant
        over the test samples; r is 0 where the prediction is constant.
    inner_r : ndarray of float64, shape (fold, target)
        Pearson r on training samples at the chosen alpha, for choosing layers. Leave-one-out:
        of the feature part of the predictions (see `select_loo`); folds: mean over inner folds.
    alpha : ndarray of float64, shape (fold, target)
    alpha_at_edge : ndarray of bool, shape (fold, target)
        The smallest or largest alpha was chosen; never with a grid of one.
    null_fold_r, null_inner_r : ndarray of float64, shape (permutation, fold, target) or None
        The same for permuted responses; (permutation, fold, region) when reduced to regions.
    predictions : ndarray of float64, shape (sample, target), or None
        Held-out predictions in the units of the responses; NaN for samples never tested.
    """

    r: Floats
    r2: Floats
    fold_r: Floats
    fold_r2: Floats
    inner_r: Floats
    alpha: Floats
    alpha_at_edge: NDArray[np.bool_]
    null_fold_r: Floats | None = None
    null_inner_r: Floats | None = None
    predictions: Floats | None = None

    @property
    def undefined(self) -> NDArray[np.bool_]:
        """Whether a target is constant over the test samples, shape (fold, target)."""
        return np.isnan(self.fold_r)


@dataclass(frozen=True)
class Problem:
    """One subject's responses, and how their null is made.

    Attributes
    ----------
    responses : array_like, shape (sample, target)
        Finite.
    permutations : array_like of int, shape (permutation, sample), optional
        Row orders of the responses (`item_orders`, `story_orders`).
    region_index : array_like of int, shape (target,), optional
        Reduce the null to region means; -1 for targets outside all regions.
    """

    responses: ArrayLike
    permutations: ArrayLike | None = None
    region_index: ArrayLike | None = None


@dataclass(frozen=True)
class SubjectFit:
    """Responses of one subject, and what the folds so far said of them."""

    y: Floats
    orders: Orders | None
    region_index: ArrayLike | None
    predictions: Floats | None
    real: list[ColumnScores] = field(default_factory=list)
    null: list[tuple[Floats, Floats]] = field(default_factory=list)

    @classmethod
    def of(cls, problem: Problem, samples: int, keep_predictions: bool) -> SubjectFit:
        """Check the responses and orders."""
        y = finite_responses(problem.responses)
        if y.shape[0] != samples:
            raise DataError(
                f"{samples} samples of features and {y.shape[0]} of responses",
                where="ridge",
                fix="join stimuli and responses by id first",
            )
        orders = problem.permutations
        return cls(
            y,
            None if orders is None else check_orders(orders, samples),
            problem.region_index,
            np.full(y.shape, np.nan) if keep_predictions else None,
        )

    def add(self, fold: FoldFit, batch: int) -> None:
        """Score one fold, and its null."""
        keep = self.predictions is not None
        scores = _score(fold, self.y, batch, keep_prediction=keep)
        self.real.append(scores)
        if self.predictions is not None:
            self.predictions[fold.split.test] = scores.prediction
        if self.orders is not None:
            self.null.append(_score_null(fold, self.y, self.orders, self.region_index, batch))

    def scores(self, grid: Floats) -> RidgeScores:
        """Put the folds together."""
        real, null = self.real, self.null
        index = np.stack([s.index for s in real])
        fold_r, fold_r2 = np.stack([s.r for s in real]), np.stack([s.r2 for s in real])
        return RidgeScores(
            r=mean_defined(fold_r),
            r2=mean_defined(fold_r2),
            fold_r=fold_r,
            fold_r2=fold_r2,
            inner_r=np.stack([s.inner_r for s in real]),
            alpha=grid[index],
            alpha_at_edge=(grid.size > 1) & ((index == 0) | (index == grid.size - 1)),
            null_fold_r=np.stack([r for r, _ in null], axis=1) if null else None,
            null_inner_r=np.stack([inner_r for _, inner_r in null], axis=1) if null else None,
            predictions=self.predictions,
        )


def _score(fold: FoldFit, y: Floats, batch: int, *, keep_prediction: bool) -> ColumnScores:
    train, test = fold.split.train, fold.split.test

    def compute(start: int, stop: int) -> ColumnScores:
        columns = y[:, start:stop]
        return fold.score(columns[train], columns[test], keep_prediction=keep_prediction)

    return in_batches(compute, y.shape[1], batch)


def _score_null(
    fold: FoldFit, y: Floats, orders: Orders, region_index: ArrayLike | None, batch: int
) -> tuple[Floats, Floats]:
    """Score permuted responses as extra columns; return held-out and inner r."""
    targets = y.shape[1]
    regions = 0 if region_index is None else int(np.max(region_index)) + 1
    outer: list[Floats] = []
    inner: list[Floats] = []
    group = max(1, batch // targets)
    for first in range(0, len(orders), group):
        some = orders[first : first + group]

        def compute(start: int, stop: int, some: Orders = some) -> ColumnScores:
            permutation, target = np.divmod(np.arange(start, stop), targets)
            rows = some[permutation].T
            return fold.score(y[rows[fold.split.train], target], y[rows[fold.split.test], target])

        scores = in_batches(compute, len(some) * targets, batch)
        for values, kept in ((scores.r, outer), (scores.inner_r, inner)):
            shaped = values.reshape(len(some), targets)
            if region_index is not None:
                shaped = region_means(shaped, region_index, regions)
            kept.append(shaped)
    return np.concatenate(outer), np.concatenate(inner)
