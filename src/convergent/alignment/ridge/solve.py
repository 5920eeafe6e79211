"""Features along their principal axes: every alpha is then a filter on a few numbers a target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment.constant import mean_of
from convergent.alignment.ridge.space import TOLERANCE, Dual, Primal, Source, compress
from convergent.alignment.ridge.targets import Block, Columns, correlation, held_out, tiles
from convergent.alignment.splits import Split
from convergent.errors import NumericalError

EPS = torch.finfo(torch.float64).eps

# The eigenvalues of a Gram matrix are exact up to about EPS times the largest; where that exceeds
# this share of the smallest alpha, the slower SVD of the features is taken instead.
GRAM_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Eigen:
    """Training and test features along their principal axes, in float64.

    With the centred training features X = U S V' and eigenvalues L = S^2, ridge predictions are
    ``test diag(S / (L + alpha)) U' y``.

    Attributes
    ----------
    basis : Tensor, shape (train, component)
        U: orthonormal, and orthogonal to constants.
    values : Tensor, shape (component,)
        L, increasing, without those that are zero but for rounding.
    test : Tensor, shape (test, component)
        Test features times V.
    full : bool
        The components span all centred training vectors (train - 1 of them), so that the fit
        interpolates as alpha goes to 0 and residuals must be computed without subtraction.
    """

    basis: Tensor
    values: Tensor
    test: Tensor
    full: bool

    @property
    def n(self) -> int:
        """Number of training samples."""
        return int(self.basis.shape[0])

    @property
    def test_samples(self) -> int:
        """Number of test samples."""
        return int(self.test.shape[0])


def diagonalise(
    space: Dual | Primal, source: Source, split: Split, *, smallest_alpha: float
) -> Eigen:
    """Turn the features of a fold to their principal axes.

    Decomposed in float64 whatever dtype the targets use: it squares the condition number.

    Parameters
    ----------
    space : Dual or Primal
        From `smaller_space`.
    source : Source
    split : Split
    smallest_alpha : float

    Returns
    -------
    Eigen

    Raises
    ------
    NumericalError
        The smallest alpha drowns in the rounding of a Gram matrix given without its features.
    """
    found = _of_covariance(space) if isinstance(space, Primal) else _of_gram(space)
    largest = float(found.values[-1]) if found.values.numel() else 0.0
    if _drowns(largest, smallest_alpha):
        return _svd(source, split, smallest_alpha)
    return found


def drowns(products: Tensor, smallest_alpha: float) -> bool:
    """Whether rounding of a Gram or covariance matrix may hide the smallest alpha.

    Judged by a bound on its largest eigenvalue: the largest sum of absolute values of a row.
    """
    largest = float(products.abs().sum(dim=1).max()) if products.numel() else 0.0
    return _drowns(largest, smallest_alpha)


def _drowns(largest: float, smallest_alpha: float) -> bool:
    return largest * EPS > GRAM_TOLERANCE * smallest_alpha


def _of_gram(space: Dual) -> Eigen:
    values, vectors = torch.linalg.eigh(space.gram)
    kept = _positive(values, space.gram.shape[0])
    values, vectors = values[kept], vectors[:, kept]
    full = int(kept.sum()) == space.gram.shape[0] - 1
    return Eigen(vectors, values, _test(space, space.cross @ (vectors / values.sqrt())), full)


def _of_covariance(space: Primal) -> Eigen:
    values, vectors = torch.linalg.eigh(space.covariance)
    kept = _positive(values, max(space.train.shape))
    values, vectors = values[kept], vectors[:, kept]
    basis = space.train @ (vectors / values.sqrt())
    full = values.numel() == space.train.shape[0] - 1
    return Eigen(basis, values, _test(space, space.test @ vectors), full)


def _positive(values: Tensor, size: int) -> Tensor:
    return values > values[-1].clamp(min=0.0) * EPS * size


def _svd(source: Source, split: Split, smallest_alpha: float) -> Eigen:
    space = source.primal(split)
    if space is None:
        raise NumericalError(
            f"the smallest alpha, {smallest_alpha:g}, drowns in the rounding of the Gram matrix",
            where="ridge",
            fix="give the features themselves, scale them, or start the grid higher",
        )
    u, s, vh = torch.linalg.svd(space.train, full_matrices=False)
    u, s, vh = u.flip(1), s.flip(0), vh.flip(0)  # increasing, as eigenvalues are
    kept = s > s[-1] * EPS * max(space.train.shape)
    full = int(kept.sum()) == space.train.shape[0] - 1
    return Eigen(u[:, kept], s[kept].square(), _test(space, space.test @ vh[kept].T), full)


def _test(space: Dual | Primal, turned: Tensor) -> Tensor:
    """Test features along the axes, the same for all samples where the features are."""
    return turned[:1].expand_as(turned) if space.alike else turned


Floats = NDArray[np.float64]

# Bytes of one map an alpha, up to which maps are made. Beyond that, projections first.
MAPS = 64 * 2**20


class Filter:
    """Predictions of one fold from projections on the principal axes, in the products' dtype.

    Parameters
    ----------
    eigen : Eigen
    alphas : ndarray, shape (alpha,)
    dtype : torch.dtype
    """

    def __init__(self, eigen: Eigen, alphas: Floats, dtype: torch.dtype) -> None:
        grid = torch.from_numpy(alphas).to(eigen.values)
        self.basis = eigen.basis.to(dtype)
        self._filters = (eigen.values.sqrt() / (eigen.values + grid[:, None])).to(dtype)
        mean = mean_of(eigen.test)[0]
        self._test = (eigen.test - mean).to(dtype)
        self._mean = mean.to(dtype)
        size = len(alphas) * self._test.shape[0] * self.basis.shape[0] * self.basis.element_size()
        self._maps: dict[int, Tensor] | None = {} if size <= MAPS else None

    def score(self, projected: Tensor, index: Tensor, block: Block, *, keep: bool) -> Columns:
        """Predict and score the test samples at the chosen alphas; inner_r is left empty.

        Parameters
        ----------
        projected : Tensor, shape (target, component)
        index : Tensor of int64, shape (target,)
        """
        weights = projected * self._filters[index]
        return _scored(weights @ self._test.T, weights @ self._mean, index, block, keep=keep)

    def score_responses(self, index: Tensor, block: Block, *, keep: bool) -> Columns:
        """Do the same where nothing else needs projections: by a map an alpha, if these are small.

        A map is made when the first target needs it.
        """
        y = block.train
        if self._maps is None:
            return self.score(y @ self.basis, index, block, keep=keep)
        prediction = y.new_empty((len(y), self._test.shape[0]))
        offset = y.new_empty(len(y))
        for alpha in torch.unique(index).tolist():
            if alpha not in self._maps:
                sides = torch.cat([self._test, self._mean[None]])
                self._maps[alpha] = (sides * self._filters[alpha]) @ self.basis.T
            mine = torch.nonzero(index == alpha)[:, 0]
            found = y.index_select(0, mine) @ self._maps[alpha].T
            prediction[mine], offset[mine] = found[:, :-1], found[:, -1]
        return _scored(prediction, offset, index, block, keep=keep)


def _scored(
    prediction: Tensor, offset: Tensor, index: Tensor, block: Block, *, keep: bool
) -> Columns:
    offset = offset.to(torch.float64)
    r, r2 = held_out(prediction, offset, block.test, block.level, block.constant)
    kept = prediction.to(torch.float64) + offset[:, None] if keep else None
    return Columns(index, torch.full_like(r, torch.nan), r, r2, kept)


class GcvFold:
    """One outer fold whose alphas minimise the generalised cross-validation error.

    For residuals e = (I - H) y with df = tr(H) + 1 (the intercept), the error of an alpha is
    |e|^2 / n / (1 - df / n)^2. With w_j = alpha / (l_j + alpha), the shares of the components
    that the fit leaves, both parts follow from the squared projections c_j^2 = (u_j' y)^2 and
    what lies outside the features' span, |y|^2 - sum_j c_j^2: all alphas of all targets are one
    product, and near interpolation nothing is subtracted.

    The inner score is the correlation of the responses with leave-one-out predictions (their
    feature part, see `LooFold`) in which each sample has the mean leverage, as in the error
    itself; it too follows from the squared projections.

    References
    ----------
    Golub, Heath & Wahba, Technometrics 21 (1979) 215-223, eq. 1.4.
    """

    def __init__(self, eigen: Eigen, alphas: Floats, dtype: torch.dtype) -> None:
        self._filter = Filter(eigen, alphas, dtype)
        n, r = eigen.n, eigen.values.numel()
        grid = torch.from_numpy(alphas).to(eigen.values)[:, None]
        left = grid / (eigen.values + grid)  # (alpha, component)
        outside = n - 1 - r
        free = left.sum(dim=1, keepdim=True) + outside  # n - df
        gap = free / (n - 1)
        # leave-one-out part: share of a component in the prediction, less the mean leverage
        part = gap - left
        self._tables = torch.cat([left.square(), part, part.square()]).T.to(dtype)
        self._free = free[:, 0].square()
        self._outside = (gap - 1.0)[:, 0]  # the same for what no feature reaches
        self._full = eigen.full
        self._count = len(alphas)

    def score(self, block: Block, *, keep: bool = False) -> Columns:
        """Choose alpha on the training responses and score the test responses."""
        projected = block.train @ self._filter.basis
        sums = (projected.square() @ self._tables).to(torch.float64)
        residual, cross, size = sums.reshape(len(sums), 3, self._count).unbind(dim=1)
        whole = block.train.square().sum(dim=1, dtype=torch.float64)
        rest = torch.zeros_like(whole)
        if not self._full:
            within = projected.square().sum(dim=1, dtype=torch.float64)
            rest = (whole - within).clamp(min=0.0)
        index = ((residual + rest[:, None]) / self._free).argmin(dim=1)
        found = self._filter.score(projected, index, block, keep=keep)
        at = index[:, None]
        outside = self._outside[index]
        covariance = cross.gather(1, at)[:, 0] + outside * rest
        variance = size.gather(1, at)[:, 0] + outside.square() * rest
        norm = (variance * whole).sqrt()
        inner = torch.where(whole > 0, correlation(covariance, norm), torch.nan)
        return Columns(index, inner, found.r, found.r2, found.prediction)


# Bytes of residuals (target, alpha, train) at once.
BUDGET = 4 * 2**20


class LooFold:
    """One outer fold whose alphas minimise the mean squared leave-one-out error.

    For the training residuals e = y - H y, with H = 1/n + U diag(L / (L + alpha)) U', the error
    of sample i predicted by a fit (with intercept) to the others is e_i / (1 - H_ii).
    Standardisation is that of the whole training set, as in scikit-learn's RidgeCV after a
    StandardScaler.

    The inner score correlates the responses with the *feature part* of the leave-one-out
    predictions, (x_i - mean of the other x)' w_i. The complete prediction also has the mean of
    the other responses, which falls as y_i rises: without any signal it correlates with y at -1,
    and would do so more the larger alpha is. The covariance of the feature part with independent
    y is 0 in the mean.

    References
    ----------
    Rifkin & Lippert, MIT-CSAIL-TR-2007-025, section 3.
    """

    def __init__(self, eigen: Eigen, alphas: Floats, dtype: torch.dtype) -> None:
        self._filter = Filter(eigen, alphas, dtype)
        self._full, n = eigen.full, eigen.n
        self._outside = n / (n - 1)  # y less the mean of the others, from y less the mean of all
        grid = torch.from_numpy(alphas).to(eigen.values)[:, None]
        squares = eigen.basis.square()
        shrink = eigen.values / (eigen.values + grid)
        leverage = shrink @ squares.T
        clear = 1.0 - 1.0 / n - leverage
        # Rows of `table` filter the projections: to the residual where the components span all
        # training vectors (1 - H is then small as alpha goes to 0, and is summed, not
        # subtracted), in units of its mean; else to the prediction.
        table, gap = shrink, clear
        self._near = torch.zeros_like(grid[:, 0], dtype=torch.bool)
        if eigen.full:
            left = grid / (eigen.values + grid)
            table = left / left.mean(dim=1, keepdim=True)
            gap = table @ squares.T
            self._near = grid[:, 0] < eigen.values.median()
        values = eigen.values.cpu().numpy()
        # half the tolerance: division by the gap makes errors larger
        size = np.full(len(alphas), 0.5)
        found = compress(table.cpu().numpy(), values, size, TOLERANCE[dtype])
        self._table, self._gap = table.to(dtype), gap.to(dtype)
        # Predictions themselves, for alphas at which residuals are nearly all of the responses
        self._shrink, self._leverage = shrink.to(dtype), leverage.to(dtype)
        self._clear = clear.to(dtype)
        self._functions = torch.from_numpy(found.functions).to(table.device, dtype)
        fewer = found.mix.shape[0] != found.mix.shape[1]
        self._mix = torch.from_numpy(found.mix).to(table.device, dtype) if fewer else None

    def score(self, block: Block, *, keep: bool = False) -> Columns:
        """Choose alpha on the training responses and score the test responses."""
        basis = self._filter.basis
        projected = block.train @ basis
        itemsize = block.train.element_size()
        size = max(1, BUDGET // (self._gap.numel() * itemsize))
        index = torch.cat(
            [
                self._errors(block.train[start:stop], projected[start:stop]).argmin(dim=1)
                for start, stop in tiles(len(projected), size)
            ]
        )
        found = self._filter.score(projected, index, block, keep=keep)
        inner = self._inner(block.train, projected, index)
        return Columns(index, inner, found.r, found.r2, found.prediction)

    def _errors(self, y: Tensor, projected: Tensor) -> Tensor:
        """Mean squared leave-one-out errors, shape (target, alpha)."""
        filtered = projected[:, None, :] * self._functions
        product = filtered @ self._filter.basis.T
        if self._mix is not None:
            product = self._mix @ product
        if not self._full:
            product = y[:, None, :] - product
        errors = torch.linalg.vector_norm(product.div_(self._gap), dim=2)
        return torch.nan_to_num(errors, nan=torch.inf)

    def _inner(self, y: Tensor, projected: Tensor, index: Tensor) -> Tensor:
        near = self._near[index]
        table = torch.where(near[:, None], self._table[index], self._shrink[index])
        product = (projected * table) @ self._filter.basis.T
        part = torch.where(
            near[:, None],
            y * self._outside - product / self._gap[index],
            (product - y * self._leverage[index] * self._outside) / self._clear[index],
        )
        part, y = part.to(torch.float64), y.to(torch.float64)
        part = part - part.mean(dim=1, keepdim=True)
        norm = (part.square().sum(dim=1) * y.square().sum(dim=1)).sqrt()
        r = correlation((part * y).sum(dim=1), norm)
        return torch.where(y.square().sum(dim=1) > 0, r, torch.nan)
