"""The features of one outer fold, as a Gram matrix (few samples) or covariance (few features)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment.constant import PRODUCT, is_constant, mean_of, same_rows
from convergent.alignment.splits import Index, Split
from convergent.device import resolve_device
from convergent.errors import DataError, NumericalError

Floats = NDArray[np.float64]

# Columns converted to float64 at once: wide features never exist a second time in float64.
FEATURE_BLOCK = 4096

# Rows of a symmetric product at once.
PANEL = 256


@dataclass(frozen=True)
class Gram:
    """Features as the inner products between stimuli.

    Ridge, CKA, RSA and neighbours depend on the features through them alone, so that a layer of
    any width costs no more than (stimulus, stimulus).

    Attributes
    ----------
    matrix : ndarray of float64, shape (stimulus, stimulus)
        Of features less their means over all stimuli.
    width : int
        Number of features.
    """

    matrix: Floats
    width: int

    @classmethod
    def of(cls, blocks: ArrayLike | Iterable[ArrayLike], *, device: str = "cpu") -> Gram:
        """Accumulate in float64 over blocks of features.

        Parameters
        ----------
        blocks : array_like, shape (stimulus, feature), or iterable of such
            An iterable (a generator, say, that reads a store piece by piece) is consumed once.
        device : str

        Returns
        -------
        Gram

        Raises
        ------
        DataError
            No features, or blocks that differ in stimuli.
        NumericalError
            NaN or infinity in a block.
        """
        place = torch.device(resolve_device(device))
        parts = [blocks] if isinstance(blocks, np.ndarray) and blocks.ndim == 2 else blocks
        total: torch.Tensor | None = None
        width = 0
        for part in parts:  # type: ignore[union-attr]
            array = np.asarray(part)
            stimuli = array.shape[0] if total is None else total.shape[0]
            if array.ndim != 2 or array.shape[0] != stimuli:
                raise DataError(
                    f"block of shape {array.shape} where ({stimuli}, feature) is needed",
                    where="Gram",
                    fix="give blocks of features of the same stimuli",
                )
            product = inner_products(_tensor(array, place))
            if not bool(torch.isfinite(product).all()):
                raise NumericalError(
                    f"NaN or infinity in features {width} to {width + array.shape[1] - 1}",
                    where="Gram",
                    fix="record the layer as failed, or run it in float32",
                )
            total = product if total is None else total.add_(product)
            width += array.shape[1]
        if total is None:
            raise DataError("no features", where="Gram", fix="give at least one block")
        return cls(total.cpu().numpy(), width)


def inner_products(x: torch.Tensor) -> torch.Tensor:
    """Multiply features less their means, in float64, a block of features at a time.

    Parameters
    ----------
    x : Tensor, shape (stimulus, feature)
        In any floating dtype.

    Returns
    -------
    Tensor of float64, shape (stimulus, stimulus)
        NaN or infinite where features are.
    """
    total = x.new_zeros((x.shape[0], x.shape[0]), dtype=torch.float64)
    for start in range(0, x.shape[1], FEATURE_BLOCK):
        block = x[:, start : start + FEATURE_BLOCK].to(torch.float64)
        add_lower_products(total, block - block.mean(dim=0))
    return mirrored(total)


def add_lower_products(total: torch.Tensor, x: torch.Tensor) -> None:
    """Add the products of rows to the lower triangle of a square matrix; nearly half the work.

    Parameters
    ----------
    total : Tensor, shape (row, row)
        What lies above the diagonal has no meaning until `mirrored`.
    x : Tensor, shape (row, column)
    """
    for start in range(0, len(x), PANEL):
        stop = min(start + PANEL, len(x))
        total[start:stop, :stop].addmm_(x[start:stop], x[:stop].T)


def mirrored(lower: torch.Tensor) -> torch.Tensor:
    """Fill the upper triangle of a square matrix from its lower one."""
    return lower.tril() + lower.tril(-1).T


def _tensor(block: NDArray[np.floating], device: torch.device) -> torch.Tensor:
    # a copy: torch warns about sharing memory that it may not write to
    return torch.from_numpy(np.array(block)).to(device)


def standardise(train: Tensor, test: Tensor, *, scale: bool) -> tuple[Tensor, Tensor]:
    """Centre, and optionally scale, columns by the mean and sd of the training rows.

    Parameters
    ----------
    train, test : Tensor of float64, shape (train, column) and (test, column)
    scale : bool
        Divide by the training sd (no degrees of freedom subtracted).

    Returns
    -------
    train, test : Tensor
        Columns that are constant over the training rows (`is_constant`) become exactly 0 in both:
        what never varied in training has no weight.
    """
    constant = is_constant(train)
    mean = mean_of(train)
    centred = torch.where(constant, 0.0, train - mean)
    outside = torch.where(constant, 0.0, test - mean)
    if not scale:
        return centred, outside
    # unit size first: squares of very small numbers would underflow
    size = torch.where(constant, 1.0, centred.abs().amax(dim=0))
    centred, outside = centred / size, outside / size
    sd = torch.where(constant, 1.0, centred.square().mean(dim=0).sqrt())
    return centred / sd, outside / sd


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
        """Inner products of a fold's stimuli."""
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
        """Features of a fold, and their covariance."""
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
        """Inner products of a fold's stimuli."""
        train, test = (_rows(r, self._gram) for r in (split.train, split.test))
        # copies have the same inner products with all stimuli, but for rounding
        alike = bool((_distances(self._gram, test) <= PRODUCT).all())
        return Dual(*recentred(self._gram, train, test), alike)

    def primal(self, split: Split) -> None:
        """Nothing: inner products alone have no features."""
        return


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


# Error of a filter (root mean square over components) beside its size.
# Alphas are only compared by what is mixed, and held-out predictions are then made exactly. In
# float64 every alpha stands for itself.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 0.0}


class Compressed(NamedTuple):
    """A table of filters as a product.

    Attributes
    ----------
    mix : ndarray of float64, shape (alpha, function)
    functions : ndarray of float64, shape (function, component)
        Orthogonal under the weights: no large numbers cancel in ``mix @ functions``, the table.
    """

    mix: Floats
    functions: Floats


def compress(table: Floats, values: Floats, size: Floats, tolerance: float) -> Compressed:
    """Approximate a table of filters by one of low rank (truncated singular values).

    Shrinkage factors l / (l + alpha) are smooth in log alpha: their numerical rank grows with
    the range of the grid and of the eigenvalues, not with the number of alphas.

    Parameters
    ----------
    table : ndarray, shape (alpha, component)
    values : ndarray, shape (component,)
        Positive eigenvalues. Half of a component's weight is the same for all, half its share of
        the range of log eigenvalues: a few dominant components carry much of the responses.
    size : ndarray, shape (alpha,)
        What errors of a row are measured against.
    tolerance : float
        Of the weighted root mean square error of a row, relative to its size.

    Returns
    -------
    Compressed
        The table itself, and no mixing, if no fewer functions will do.
    """
    alphas = table.shape[0]
    whole = Compressed(np.eye(alphas), table)
    if tolerance == 0.0 or table.shape[1] == 0:
        return whole
    weights = np.sqrt((1.0 / values.size + _spacing(values)) / 2.0)
    u, s, vh = np.linalg.svd(table / size[:, None] * weights, full_matrices=False)
    # squared error of each row, by number of functions left out from the end
    left = np.cumsum(np.square(u * s)[:, ::-1], axis=1)[:, ::-1].max(axis=0)
    count = int(np.searchsorted(-left, -(tolerance**2)))
    if count >= alphas:
        return whole
    return Compressed(u[:, :count] * s[:count] * size[:, None], vh[:count] / weights)


def _spacing(values: Floats) -> Floats:
    """Share of each value in the range of their logarithms."""
    order = np.argsort(values)
    steps = np.diff(np.log(values[order]))
    share = np.empty_like(values)
    share[order] = np.concatenate([steps, [0.0]]) + np.concatenate([[0.0], steps])
    total = share.sum()
    return share / total if total > 0 else np.full_like(values, 1.0 / values.size)


def split_functions(found: Compressed, sizes: Sequence[int]) -> list[Floats]:
    """Cut functions of joined components apart, each of shape (function, component)."""
    return np.split(found.functions, np.cumsum(sizes)[:-1], axis=1)
