"""Linear maps from training to held-out responses, for every alpha and inner fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment.ridge._eigen import GRAM_TOLERANCE
from convergent.alignment.ridge._skeleton import TOLERANCE, Skeleton, skeleton
from convergent.alignment.ridge._space import Primal, recentred
from convergent.alignment.ridge._standardise import EPS
from convergent.errors import NumericalError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class InnerRows:
    """Rows of an inner fold, as positions in the outer training set.

    Attributes
    ----------
    train, test : Tensor of int64
    left_out : Tensor of int64
        All that do not train: the test rows and those trimmed beside them.
    """

    train: Tensor
    test: Tensor
    left_out: Tensor

    @classmethod
    def of(cls, train: Tensor, test: Tensor, n: int) -> InnerRows:
        """Find the rows that do not train."""
        mask = torch.ones(n, dtype=torch.bool, device=train.device)
        mask[train] = False
        return cls(train, test, torch.nonzero(mask)[:, 0])


@dataclass(frozen=True)
class Maps:
    """What turns training responses into predictions of the inner folds.

    Attributes
    ----------
    skeleton : Skeleton
        Which alphas the maps of inner folds are for, and how to mix the others from them.
    inner : tuple of Tensor, each of shape (skeleton * inner test, input)
        The skeleton is the slow axis. Predictions about the mean of the inner training set, which
        does not depend on alpha and so is no part of what is mixed.
    basis : Tensor, shape (train, input), or None
        Inputs are the responses of the training rows, or, with a basis, their products with its
        rows.
    """

    skeleton: Skeleton
    inner: tuple[Tensor, ...]
    basis: Tensor | None


def dual_maps(
    gram: Tensor, values: Tensor, inner: Sequence[InnerRows], alphas: Floats, dtype: torch.dtype
) -> Maps:
    """Make the maps from inner products, whose positive eigenvalues are known.

    With the centred Gram matrix K and A = (K + alpha)^-1 less its constant part, alpha A y are
    the residuals of the whole training set, and those of rows B that are left out together are
    ``alpha A_BB^-1 A_B: y``: one inverse an alpha serves all inner folds, and the intercept is
    fitted anew in each.

    References
    ----------
    Pahikkala, Boberg & Salakoski, SCAI 2006: 83-90 (leave-many-out in closed form).
    """
    n = gram.shape[0]
    # Constants are given a weight among the eigenvalues, and taken out exactly afterwards.
    weight = float(gram.diagonal().mean()) or 1.0
    lifted = gram + weight / n

    def inverse(alpha: float) -> Tensor:
        shifted = lifted.clone()
        shifted.diagonal().add_(alpha)
        resolvent: Tensor = torch.cholesky_inverse(_cholesky(shifted))
        return resolvent.sub_(1.0 / (n * (alpha + weight)))

    largest = _check(values, float(alphas[0]))
    # a part of the training set has no smaller eigenvalues than the whole, if that has full rank
    smallest = float(values[0]) if values.numel() == n - 1 else 0.0
    found = _between(alphas, smallest, largest, dtype)
    maps = [
        gram.new_empty((found.rows.size, rows.test.numel(), rows.train.numel()), dtype=dtype)
        for rows in inner
    ]
    for s, alpha in enumerate(alphas[found.rows].tolist()):
        resolvent = inverse(alpha)
        for rows, kept in zip(inner, maps, strict=True):
            if 2 * rows.left_out.numel() > n:
                kept[s] = _refitted(gram, rows, alpha)
            else:
                kept[s] = _left_out(resolvent, rows)
    return Maps(found, tuple(m.flatten(0, 1) for m in maps), None)


def _left_out(resolvent: Tensor, rows: InnerRows) -> Tensor:
    """Predict rows from all that are not left out with them, (test, train)."""
    among = resolvent.index_select(0, rows.left_out)
    root = _cholesky(among.index_select(1, rows.left_out))
    solved = torch.cholesky_solve(among.index_select(1, rows.train), root)
    predicted = -solved[torch.searchsorted(rows.left_out, rows.test)]
    return predicted - 1.0 / rows.train.numel()


def _refitted(gram: Tensor, rows: InnerRows, alpha: float) -> Tensor:
    """Do the same from the training rows, where they are the smaller part."""
    inside, cross = recentred(gram, rows.train, rows.test)
    inside.diagonal().add_(alpha)
    features = torch.cholesky_solve(cross.T, _cholesky(inside)).T
    return features - features.mean(dim=1, keepdim=True)


def primal_maps(
    space: Primal, values: Tensor, inner: Sequence[InnerRows], alphas: Floats, dtype: torch.dtype
) -> Maps:
    """Make the maps from features, with a constant one that is not penalised.

    Inputs are products of the responses with an almost orthonormal basis of the features, not
    with the features: in float32 a few dominant features would drown the others.
    """
    one = space.train.new_ones((space.train.shape[0], 1))
    x = torch.cat([space.train, one], dim=1)
    covariance = x.T @ x
    penalty = torch.ones_like(covariance[0])
    penalty[-1] = 0.0
    largest = _check(values, float(alphas[0]))

    def penalised(matrix: Tensor, alpha: float) -> Tensor:
        return _cholesky(matrix + torch.diag(alpha * penalty))

    root = penalised(covariance, float(alphas[0]))
    basis = torch.linalg.solve_triangular(root, x.T, upper=False).T
    inside = [covariance - x[rows.left_out].T @ x[rows.left_out] for rows in inner]
    first = penalised(inside[0], float(alphas[0]))
    found = _between(alphas, _smallest(first, float(alphas[0])) / 4, largest, dtype)
    maps = [
        x.new_empty((found.rows.size, rows.test.numel(), x.shape[1]), dtype=dtype) for rows in inner
    ]
    for s, alpha in enumerate(alphas[found.rows].tolist()):
        for rows, matrix, kept in zip(inner, inside, maps, strict=True):
            solved = torch.cholesky_solve(x[rows.test].T, penalised(matrix, alpha)).T
            kept[s] = solved @ root - root[-1] / rows.train.numel()
    return Maps(found, tuple(m.flatten(0, 1) for m in maps), basis.to(dtype))


def _between(alphas: Floats, smallest: float, largest: float, dtype: torch.dtype) -> Skeleton:
    """Skeleton for eigenvalues in a range; those of inner folds lie within that of all rows."""
    if largest <= 0.0:
        return skeleton(np.zeros((alphas.size, 0)), 0.0)
    low = max(smallest / 2, 1e-3 * float(alphas[0]), 1e-12 * largest)
    values = np.geomspace(min(low, largest), 1.1 * largest, 256)
    # in units of the largest: r sees the shape of a prediction, however small it is
    table = values / (values + alphas[:, None])
    size = table[:, -1]
    found = skeleton(table / size[:, None], TOLERANCE[dtype])
    return Skeleton(found.rows, found.mix * (size[:, None] / size[found.rows]))


def _smallest(root: Tensor, alpha: float, steps: int = 40) -> float:
    """Smallest eigenvalue of a positive matrix, given the Cholesky factor of it plus alpha."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn((len(root), 1), generator=generator, dtype=root.dtype).to(root.device)
    largest = 0.0  # of the inverse
    for _ in range(steps):
        vector = torch.cholesky_solve(vector / vector.norm(), root)
        largest = float(vector.norm())
    return max(1.0 / largest - alpha, 0.0)


def _cholesky(matrix: Tensor) -> Tensor:
    root: Tensor = torch.linalg.cholesky(matrix)
    return root


def _check(values: Tensor, smallest_alpha: float) -> float:
    """Largest eigenvalue, unless its rounding hides the smallest alpha."""
    largest = float(values[-1]) if values.numel() else 0.0
    if largest * EPS > GRAM_TOLERANCE * smallest_alpha:
        raise NumericalError(
            f"the smallest alpha, {smallest_alpha:g}, drowns in the rounding of features whose "
            f"largest eigenvalue is {largest:.1e}",
            where="ridge with inner folds",
            fix="scale the features, or start the grid higher",
        )
    return largest
