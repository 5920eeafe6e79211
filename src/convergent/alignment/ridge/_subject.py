"""One subject's responses, and what the folds say of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from convergent.alignment._means import mean_defined, region_means
from convergent.alignment._orders import Orders, check_orders
from convergent.alignment._splits import Split
from convergent.alignment.ridge._columns import Columns
from convergent.alignment.ridge._resampled import Resampled, check_weights
from convergent.alignment.ridge._targets import (
    Block,
    Missing,
    Streamed,
    Targets,
    block_of,
    permuted,
    tiles,
)
from convergent.errors import DataError, DeviceError

Floats = NDArray[np.float64]


class Fold(Protocol):
    """One outer fold, ready for responses."""

    def score(self, block: Block, *, keep: bool = False) -> Columns:
        """Choose alpha on the training responses and score the test responses."""


@dataclass(frozen=True)
class Work:
    """How responses are worked through.

    Attributes
    ----------
    device : torch.device
    dtype : torch.dtype
    rows : int
        Targets, times permutations, at once.
    """

    device: torch.device
    dtype: torch.dtype
    rows: int


@dataclass(frozen=True)
class RidgeScores:
    """What a cross-validated ridge fit says about each target.

    Attributes
    ----------
    r, r2 : ndarray of float64, shape (target,)
        Mean over the folds in which the target is not constant; NaN if there is none. Targets
        that were masked are NaN in every array.
    fold_r, fold_r2 : ndarray of float64, shape (fold, target)
        Held-out Pearson r (signed) and R2 about the test mean. NaN where the target is constant
        over the test samples; r is 0 where the prediction is constant.
    inner_r : ndarray of float64, shape (fold, target)
        Pearson r on training samples at the chosen alpha, for choosing layers. Generalised
        cross-validation and leave-one-out: of the feature part of leave-one-out predictions
        (see `GcvFold`, `LooFold`); folds: mean over inner folds.
    alpha : ndarray of float64, shape (fold, target)
    alpha_at_edge : ndarray of bool, shape (fold, target)
        The smallest or largest alpha was chosen; never with a grid of one.
    null_fold_r, null_inner_r : ndarray of float64, shape (permutation, fold, target) or None
        The same for permuted responses; (permutation, fold, region) when reduced to regions.
    boot_fold_r : ndarray of float64, shape (bootstrap, fold, target) or None
        Held-out r over resampled test samples; (bootstrap, fold, region) when reduced to regions.
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
    boot_fold_r: Floats | None = None
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
        Or anything with ``shape`` and slices of targets (a zarr, HDF5, dask or memory-mapped
        array), which is then read a block of targets at a time, once a fold.
    permutations : array_like of int, shape (permutation, sample), optional
        Row orders of the responses (`item_orders`, `story_orders`, `block_orders`).
    region_index : array_like of int, shape (target,), optional
        Reduce the null and resamples to region means; -1 for targets outside all regions.
    resamples : array_like of int, shape (bootstrap, sample), optional
        How often each sample is drawn (`item_resamples`, `story_resamples`); test samples are then
        scored once more for each.
    """

    responses: ArrayLike | Streamed
    permutations: ArrayLike | None = None
    region_index: ArrayLike | None = None
    resamples: ArrayLike | None = None


class SubjectFit:
    """Responses of one subject, and what the folds so far said of them.

    Parameters
    ----------
    problem : Problem
    samples : int
    keep : bool
        Keep held-out predictions.
    missing : {"error", "mask"}
    """

    def __init__(self, problem: Problem, samples: int, *, keep: bool, missing: Missing) -> None:
        self.targets = Targets(problem.responses, missing=missing)
        if self.targets.samples != samples:
            raise DataError(
                f"{samples} samples of features and {self.targets.samples} of responses",
                where="ridge",
                fix="join stimuli and responses by id first",
            )
        orders = problem.permutations
        self.orders: Orders | None = None if orders is None else check_orders(orders, samples)
        self._region_index = problem.region_index
        self._weights = (
            None if problem.resamples is None else check_weights(problem.resamples, samples)
        )
        self._boot: list[Floats] = []
        shape = (samples, self.targets.count)
        self._predictions = np.full(shape, np.nan) if keep else None
        self._real: list[dict[str, Floats]] = []
        self._null: list[tuple[Floats, Floats]] = []

    def add(self, fold: Fold, split: Split, work: Work) -> None:
        """Score one fold, and its null."""
        permutations = 0 if self.orders is None else len(self.orders)
        real = {name: np.empty(self.targets.count) for name in ("index", "inner_r", "r", "r2")}
        null = _Null(permutations, self.targets.count, self._region_index)
        resampled = None
        if self._weights is not None:
            weights = self._weights[:, split.test]
            resampled = Resampled(weights, self.targets.count, self._region_index)
        for start, stop in tiles(self.targets.count, work.rows):
            values, defined = self.targets.read(start, stop, work.device)
            here = slice(start, stop)
            known = defined.cpu().numpy()
            block = block_of(values, split, work.dtype)
            keep = self._predictions is not None or resampled is not None
            found = _score(fold, block, keep=keep)
            if resampled is not None and found.prediction is not None:
                resampled.put(start, found.prediction, block.test, known)
            for name, array in real.items():
                array[here] = np.where(known, getattr(found, name).cpu().numpy(), np.nan)
            if self._predictions is not None and found.prediction is not None:
                units = found.prediction * block.sd[:, None] + block.mean[:, None]
                kept = np.where(known[:, None], units.cpu().numpy(), np.nan)
                self._predictions[split.test, here] = kept.T
            if self.orders is None:
                continue
            group = max(1, work.rows // len(values))
            for first in range(0, permutations, group):
                some = slice(first, min(first + group, permutations))
                scores = _score(fold, permuted(values, self.orders[some], split, work.dtype))
                null.put(some, here, scores, known)
        self._real.append(real)
        if permutations:
            self._null.append(null.reduced())
        if resampled is not None:
            self._boot.append(resampled.reduced())

    def scores(self, grid: Floats) -> RidgeScores:
        """Put the folds together."""
        real, null = self._real, self._null
        stacked = {name: np.stack([fold[name] for fold in real]) for name in real[0]}
        masked = np.isnan(stacked["index"])
        index = np.where(masked, 0, stacked["index"]).astype(np.intp)
        edge = (grid.size > 1) & ((index == 0) | (index == grid.size - 1)) & ~masked
        return RidgeScores(
            r=mean_defined(stacked["r"]),
            r2=mean_defined(stacked["r2"]),
            fold_r=stacked["r"],
            fold_r2=stacked["r2"],
            inner_r=stacked["inner_r"],
            alpha=np.where(masked, np.nan, grid[index]),
            alpha_at_edge=edge,
            null_fold_r=np.stack([r for r, _ in null], axis=1) if null else None,
            null_inner_r=np.stack([inner_r for _, inner_r in null], axis=1) if null else None,
            boot_fold_r=np.stack(self._boot, axis=1) if self._boot else None,
            predictions=self._predictions,
        )


class _Null:
    """Held-out and inner r of permuted targets, summed up by region where asked."""

    def __init__(self, permutations: int, targets: int, region_index: ArrayLike | None) -> None:
        self._r = np.full((permutations, targets), np.nan)
        self._inner = np.full((permutations, targets), np.nan)
        self._region_index = region_index

    def put(self, permutations: slice, targets: slice, found: Columns, known: Floats) -> None:
        shape = (permutations.stop - permutations.start, targets.stop - targets.start)
        for values, kept in ((found.r, self._r), (found.inner_r, self._inner)):
            shaped = values.cpu().numpy().reshape(shape)
            kept[permutations, targets] = np.where(known, shaped, np.nan)

    def reduced(self) -> tuple[Floats, Floats]:
        if self._region_index is None:
            return self._r, self._inner
        regions = int(np.max(self._region_index)) + 1
        return (
            region_means(self._r, self._region_index, regions),
            region_means(self._inner, self._region_index, regions),
        )


def _score(fold: Fold, block: Block, *, keep: bool = False) -> Columns:
    """Score a block, halving it when memory runs out.

    Raises
    ------
    DeviceError
        A single target does not fit.
    """
    rows = len(block.train)
    try:
        return fold.score(block, keep=keep)
    except torch.OutOfMemoryError as error:
        if rows == 1:
            raise DeviceError(
                f"out of GPU memory with one target: {error}",
                where="ridge",
                fix="use a larger GPU, device: cpu, or project the features",
            ) from error
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    halves = (slice(0, rows // 2), slice(rows // 2, rows))
    return Columns.join([_score(fold, block.part(half), keep=keep) for half in halves])
