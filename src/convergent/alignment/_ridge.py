"""Cross-validated ridge encoding models, with alpha chosen per target and permutation nulls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from convergent.alignment._dtype import resolve_dtype
from convergent.alignment._fold import ColumnScores, FoldFit, in_batches
from convergent.alignment._means import mean_defined, region_means
from convergent.alignment._orders import Orders, check_orders
from convergent.alignment._splits import Index, Split, check_splits
from convergent.alignment._validate import check_alphas, finite_features, finite_responses
from convergent.device import resolve_device
from convergent.errors import ConfigError, DataError

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


def fit_ridge(
    features: ArrayLike,
    responses: ArrayLike,
    splits: Sequence[Split],
    *,
    design: Literal["items", "story"],
    alphas: ArrayLike,
    selection: Literal["loo", "folds"] | None = None,
    inner_splits: Callable[[Index], Sequence[Split]] | None = None,
    force_loo: bool = False,
    standardize: bool = True,
    permutations: ArrayLike | None = None,
    region_index: ArrayLike | None = None,
    return_predictions: bool = False,
    target_batch: int = 4096,
    device: str = "cpu",
    dtype: str = "float64",
) -> RidgeScores:
    """Fit responses = mean + features @ weights by ridge and score held-out samples.

    Per outer fold, everything is fitted to the training samples only: the mean and sd of the
    features, the mean of the responses, alpha per target, and the weights. Responses are also
    scaled to unit training variance, which changes neither the chosen alphas nor any score.
    Permutations reorder the rows of the responses and reuse the factorisation of the features;
    alpha is chosen anew for each.

    Parameters
    ----------
    features : array_like, shape (sample, feature)
        Finite. Features constant over a training set get weight exactly 0.
    responses : array_like, shape (sample, target)
        Finite.
    splits : sequence of Split
        Outer folds (`item_splits`, `story_splits`).
    design : {"items", "story"}
        Independent samples, or volumes of one time series.
    alphas : array_like, shape (alpha,)
        Positive, increasing penalties on the squared weights.
    selection : {"loo", "folds"}, optional
        Leave-one-out in closed form (default for items) or inner folds (default for a story).
    inner_splits : callable, optional
        From the outer training rows to inner folds, for ``selection="folds"``.
    force_loo : bool
        Allow leave-one-out on a story, where neighbouring volumes leak into each other.
    standardize : bool
        Scale features to unit training variance (they are always centred).
    permutations, region_index
        See `Problem`.
    return_predictions : bool
        Keep held-out predictions; the test sets must be disjoint.
    target_batch : int
        Response columns (targets times permutations) on the device at once; halved when memory
        runs out. Results do not depend on it beyond rounding.
    device : str
        ``cpu`` or ``cuda[:index]``.
    dtype : str
        ``float64`` or ``float32``, for products with responses; features are factorised in
        float64.

    Returns
    -------
    RidgeScores

    Raises
    ------
    NumericalError
        NaN or infinity in features or responses.
    DataError
        Features and responses differ in samples.
    ConfigError
        Bad alphas, folds or orders, or leave-one-out on a story.
    DeviceError
        The device does not exist or cannot hold one target.

    References
    ----------
    Hoerl & Kennard, Technometrics 12 (1970) 55-67; Dupre la Tour et al., NeuroImage 264 (2022)
    119728; Rifkin & Lippert, MIT-CSAIL-TR-2007-025 (leave-one-out in closed form).
    """
    (scores,) = fit_subjects(
        features,
        [Problem(responses, permutations, region_index)],
        splits,
        design=design,
        alphas=alphas,
        selection=selection,
        inner_splits=inner_splits,
        force_loo=force_loo,
        standardize=standardize,
        return_predictions=return_predictions,
        target_batch=target_batch,
        device=device,
        dtype=dtype,
    )
    return scores


def fit_subjects(
    features: ArrayLike,
    problems: Sequence[Problem],
    splits: Sequence[Split],
    *,
    design: Literal["items", "story"],
    alphas: ArrayLike,
    selection: Literal["loo", "folds"] | None = None,
    inner_splits: Callable[[Index], Sequence[Split]] | None = None,
    force_loo: bool = False,
    standardize: bool = True,
    return_predictions: bool = False,
    target_batch: int = 4096,
    device: str = "cpu",
    dtype: str = "float64",
) -> list[RidgeScores]:
    """Do what `fit_ridge` does for several subjects who saw the same stimuli.

    The features of each fold are factorised once for all of them. Each subject's scores are, bit
    for bit, those of a call of its own.

    Parameters
    ----------
    features : array_like, shape (sample, feature)
    problems : sequence of Problem
        One a subject; the same samples in the same order.
    splits, design, alphas, selection, inner_splits, force_loo, standardize, return_predictions,
    target_batch, device, dtype
        See `fit_ridge`.

    Returns
    -------
    list of RidgeScores
        In the order of ``problems``.
    """
    torch_device, torch_dtype = torch.device(resolve_device(device)), resolve_dtype(dtype)
    x, grid = finite_features(features), check_alphas(alphas)
    if target_batch < 1:
        raise ConfigError(f"target_batch is {target_batch}", where="ridge", fix="use 1 or more")
    subjects = [_Subject.of(problem, x.shape[0], return_predictions) for problem in problems]
    check_splits(splits, x.shape[0])
    make_inner = _inner(design, selection, inner_splits, force_loo)
    if return_predictions and sum(s.test.size for s in splits) != _tested(splits).size:
        raise ConfigError(
            "test sets overlap", where="ridge", fix="use disjoint folds to return predictions"
        )

    x_device = torch.from_numpy(x).to(torch_device)
    for split in splits:
        inner: Sequence[Split] = ()
        if make_inner is not None:
            inner = make_inner(split.train)
            check_splits(inner, x.shape[0], within=split.train)
        fold = FoldFit.prepare(
            x_device, split, inner, alphas=grid, scale=standardize, dtype=torch_dtype
        )
        for subject in subjects:
            subject.add(fold, target_batch)
    return [subject.scores(grid) for subject in subjects]


@dataclass(frozen=True)
class _Subject:
    """Responses of one subject, and what the folds so far said of them."""

    y: Floats
    orders: Orders | None
    region_index: ArrayLike | None
    predictions: Floats | None
    real: list[ColumnScores] = field(default_factory=list)
    null: list[tuple[Floats, Floats]] = field(default_factory=list)

    @classmethod
    def of(cls, problem: Problem, samples: int, keep_predictions: bool) -> _Subject:
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
        keep = self.predictions is not None
        scores = _score(fold, self.y, batch, keep_prediction=keep)
        self.real.append(scores)
        if self.predictions is not None:
            self.predictions[fold.split.test] = scores.prediction
        if self.orders is not None:
            self.null.append(_score_null(fold, self.y, self.orders, self.region_index, batch))

    def scores(self, grid: Floats) -> RidgeScores:
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


def _inner(
    design: str,
    selection: str | None,
    inner_splits: Callable[[Index], Sequence[Split]] | None,
    force_loo: bool,
) -> Callable[[Index], Sequence[Split]] | None:
    """Decide how alpha is chosen: by inner folds, or None for leave-one-out."""
    if design not in ("items", "story") or selection not in (None, "loo", "folds"):
        raise ConfigError(
            f"design '{design}' with selection '{selection}' is not known",
            where="ridge",
            fix="use design items or story, selection loo or folds",
        )
    selection = selection or ("loo" if design == "items" else "folds")
    if selection == "folds":
        if inner_splits is None:
            raise ConfigError(
                "selection 'folds' has no inner splits",
                where="ridge",
                fix="give inner_splits, for example from inner_story_splits",
            )
        return inner_splits
    if design == "story" and not force_loo:
        raise ConfigError(
            "leave-one-out on a story predicts a volume from neighbours, whose noise it shares, "
            "and so chooses too small an alpha",
            where="ridge",
            fix="use selection: folds, or force_loo if the volumes are independent",
        )
    return None


def _tested(splits: Sequence[Split]) -> Index:
    return np.unique(np.concatenate([s.test for s in splits]))


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
