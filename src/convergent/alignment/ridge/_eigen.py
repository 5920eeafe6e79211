"""Features along their principal axes: every alpha is then a filter on a few numbers a target."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convergent.alignment._splits import Split
from convergent.alignment.ridge._space import Dual, Primal, Source
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
