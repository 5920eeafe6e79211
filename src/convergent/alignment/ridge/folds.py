"""Choosing alpha by inner folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment.constant import is_constant, is_constant_range, mean_of, same_rows
from convergent.alignment.means import mean_defined, region_means
from convergent.alignment.orders import Orders, check_orders
from convergent.alignment.ridge.solve import Eigen, Filter, diagonalise, drowns
from convergent.alignment.ridge.space import (
    TOLERANCE,
    Dual,
    FeatureSource,
    GramSource,
    Primal,
    Source,
    compress,
    smaller_space,
    split_functions,
)
from convergent.alignment.ridge.targets import (
    Block,
    Columns,
    Missing,
    Streamed,
    Targets,
    block_of,
    correlation,
    permuted,
    tiles,
)
from convergent.alignment.splits import Split, positions_of
from convergent.errors import ConfigError, DataError, DeviceError

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


class PrincipalSource:
    """The leading principal components of another source's features.

    Centre, scale and axes are those of a fold's training rows; test rows are turned to the same
    axes and take no part in finding them. Components keep their variances (no whitening).

    Parameters
    ----------
    source : Source
    components : int
        Fewer where the training rows span fewer.
    smallest_alpha : float
        How exact small components must be, see `diagonalise`.

    Raises
    ------
    ConfigError
        Fewer than one component.
    """

    def __init__(self, source: Source, components: int, smallest_alpha: float) -> None:
        if components < 1:
            raise ConfigError(f"components is {components}", where="ridge", fix="use 1 or more")
        self._source = source
        self._alpha = smallest_alpha
        self.samples = source.samples
        self.width = min(components, source.width)

    def dual(self, split: Split) -> Dual:
        """Inner products of the components."""
        if self.width >= split.train.size - 1:  # all that the training rows span
            return self._source.dual(split)
        space = self.primal(split)
        return Dual(space.train @ space.train.T, space.test @ space.train.T, space.alike)

    def primal(self, split: Split) -> Primal:
        """Components of the rows, the largest first."""
        space = smaller_space(self._source, split)
        eigen = diagonalise(space, self._source, split, smallest_alpha=self._alpha)
        values = eigen.values.flip(0)[: self.width]
        train = eigen.basis.flip(1)[:, : self.width] * values.sqrt()
        test = eigen.test.flip(1)[:, : self.width]
        return Primal(train, test, values.diag(), space.alike)


# Bytes of products (target, 5, test) at once.
RESAMPLED_BUDGET = 32 * 2**20

# Share of the mean square below which a variance by subtraction is computed once more.
DOUBT = 1e-6


def weighted_r(prediction: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Pearson r of predictions and truth over weighted samples.

    A resample that draws sample i w_i times is the weight w_i. The five moments that r needs are
    sums over samples, so that one product of matrices gives them for every resample.

    Parameters
    ----------
    prediction, truth : Tensor, shape (target, test)
    weights : Tensor of float64, shape (bootstrap, test)
        Not negative.

    Returns
    -------
    Tensor of float64, shape (bootstrap, target)
        NaN where the truth is constant over the samples drawn; 0 where the prediction is.
    """
    flat = is_constant(truth, dim=1)
    p, y = _unit(prediction.to(torch.float64)), _unit(truth.to(torch.float64))
    moments = torch.stack([p, y, p * y, p * p, y * y]) @ weights.T
    sp, sy, spy, spp, syy = moments / weights.sum(dim=1).clamp(min=1.0)
    vp, vy = (spp - sp.square()).clamp(min=0.0), (syy - sy.square()).clamp(min=0.0)
    r = correlation(spy - sp * sy, (vp * vy).sqrt())
    # Where subtraction left few digits, the samples drawn are looked at themselves.
    doubtful = ((vp <= DOUBT * spp) & (spp > 0)) | (vy <= DOUBT * syy)
    target, resample = torch.nonzero(doubtful & ~flat[:, None]).T
    size = max(1, RESAMPLED_BUDGET // (5 * 8 * weights.shape[1]))
    for t, b in zip(target.split(size), resample.split(size), strict=True):
        r[t, b] = _of_drawn(prediction[t].double(), truth[t].double(), weights[b])
    return torch.where(flat[:, None], torch.nan, r).T


def _of_drawn(prediction: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Pearson r of each row over its own weighted samples, in two passes, (row,)."""
    drawn, share = weights > 0, weights / weights.sum(dim=1, keepdim=True).clamp(min=1.0)
    sides, flat = [], []
    for values in (prediction, truth):
        low, high = values.where(drawn, torch.inf).amin(1), values.where(drawn, -torch.inf).amax(1)
        flat.append(is_constant_range(low, high))
        shifted = torch.where(drawn, values - low[:, None], 0.0)
        mean = (shifted * share).sum(dim=1, keepdim=True)
        sides.append(_over_size(torch.where(drawn, shifted - mean, 0.0)))
    p, y = sides
    norm = ((p * p * share).sum(dim=1) * (y * y * share).sum(dim=1)).sqrt()
    r = correlation((p * y * share).sum(dim=1), norm).masked_fill(flat[0], 0.0)
    return r.masked_fill(flat[1], torch.nan)


def _unit(values: Tensor) -> Tensor:
    """Centre and scale rows: r does not change, and moments keep their digits."""
    centred = values - mean_of(values, dim=1)
    return _over_size(centred.masked_fill(is_constant(values, dim=1)[:, None], 0.0))


def _over_size(values: Tensor) -> Tensor:
    size = values.abs().amax(dim=1, keepdim=True)
    return values / torch.where(size > 0, size, 1.0)


class Resampled:
    """Held-out r of one fold over resampled test samples, a block of targets after the other.

    Parameters
    ----------
    weights : ndarray, shape (bootstrap, test)
    targets : int
    region_index : array_like of int, shape (target,), optional
        Reduce to region means.
    """

    def __init__(
        self, weights: NDArray[np.generic], targets: int, region_index: ArrayLike | None
    ) -> None:
        self._weights = torch.from_numpy(np.asarray(weights, dtype=np.float64))
        self._r = np.full((len(weights), targets), np.nan)
        self._region_index = region_index

    def put(self, start: int, prediction: Tensor, truth: Tensor, known: NDArray[np.bool_]) -> None:
        """Add targets from ``start`` on."""
        weights = self._weights.to(truth.device)
        size = max(1, RESAMPLED_BUDGET // (5 * 8 * max(truth.shape[1], len(weights))))
        for first, last in tiles(len(truth), size):
            r = weighted_r(prediction[first:last], truth[first:last], weights).cpu().numpy()
            self._r[:, start + first : start + last] = np.where(known[first:last], r, np.nan)

    def reduced(self) -> Floats:
        """Give (bootstrap, target), or (bootstrap, region)."""
        if self._region_index is None:
            return self._r
        return region_means(self._r, self._region_index, int(np.max(self._region_index)) + 1)


def check_weights(weights: ArrayLike, samples: int) -> NDArray[np.generic]:
    """Check weights of resamples, (bootstrap, sample).

    Raises
    ------
    DataError
        Another shape, or negative.
    """
    array = np.asarray(weights)
    if array.ndim != 2 or array.shape[1] != samples or not (array >= 0).all():
        raise DataError(
            f"weights of shape {array.shape} for {samples} samples",
            where="ridge",
            fix="give (bootstrap, sample), none negative",
        )
    return array


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
