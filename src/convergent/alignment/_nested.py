"""Ridge of a model on top of nuisance regressors that are fitted with it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convergent.alignment._constant import same_rows

# Eigenvalues below this share of the largest are rounding.
_RANK = 1e-12


@dataclass(frozen=True)
class Smoother:
    """Ridge of the nuisance alone, as a matrix from training to other responses.

    Attributes
    ----------
    left : Tensor, shape (other sample, rank)
    values : Tensor, shape (rank,)
        Squared singular values of the training regressors.
    right : Tensor, shape (rank, training sample)
    """

    left: Tensor
    values: Tensor
    right: Tensor

    @classmethod
    def of(cls, train: Tensor, other: Tensor) -> Smoother:
        """Decompose centred training regressors, (sample, column)."""
        u, s, v = torch.linalg.svd(train, full_matrices=False)
        kept = s.square() > _RANK * s.square().amax().clamp_min(1e-300)
        u, s, v = u[:, kept], s[kept], v[kept]
        return cls(_like(other, (other @ v.T) * s), s.square(), u.T)

    def predict(self, alpha: float, responses: Tensor) -> Tensor:
        """Predict from centred training responses, (other sample, target)."""
        found = self.left @ ((self.right @ responses) / (self.values + alpha)[:, None])
        return _like(self.left, found)

    def residual_root(self, alpha: float, columns: Tensor) -> Tensor:
        """Apply the square root of ``I - N (N'N + alpha)^-1 N'`` to (training sample, column)."""
        # sqrt(alpha / (values + alpha)) is what is left of each direction of the nuisance
        taken = 1.0 - torch.sqrt(alpha / (self.values + alpha))
        return columns - self.right.T @ (taken[:, None] * (self.right @ columns))


@dataclass(frozen=True)
class Extra:
    """What the model adds to the nuisance's prediction, for any of its penalties.

    With penalties a (nuisance N) and b (model X), the joint ridge solution has

        v = (X~'X~ + b)^-1 X~'y~,  X~ = A X,  y~ = A y,  A^2 = I - N (N'N + a)^-1 N',

    and predicts ``C y + (X_other - C X) v`` where C is the smoother of the nuisance alone: the
    nuisance's own prediction, and what the model adds to it.

    Attributes
    ----------
    left : Tensor, shape (other sample, rank)
    values : Tensor, shape (rank,)
    right : Tensor, shape (rank, training sample)
    smoother : Smoother
    alpha : float
    """

    left: Tensor
    values: Tensor
    right: Tensor
    smoother: Smoother
    alpha: float

    @classmethod
    def of(cls, train: Tensor, other: Tensor, smoother: Smoother, alpha: float) -> Extra:
        """Factorise centred training features, given the nuisance's penalty."""
        x = smoother.residual_root(alpha, train)
        rest = other - smoother.predict(alpha, train)
        wide = x.shape[1] > x.shape[0]
        values, basis = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
        kept = values > _RANK * values.amax().clamp_min(1e-300)
        values, basis = values[kept], basis[:, kept]
        if wide:
            return cls(_like(rest, rest @ (x.T @ basis)), values, basis.T, smoother, alpha)
        return cls(_like(rest, rest @ basis), values, basis.T @ x.T, smoother, alpha)

    def project(self, responses: Tensor) -> Tensor:
        """Centred training responses on the factors, (rank, target)."""
        return self.right @ self.smoother.residual_root(self.alpha, responses)

    def predict(self, penalty: Tensor | float, projected: Tensor) -> Tensor:
        """Predict what is added, for one penalty or one a target, (other sample, target)."""
        b = torch.as_tensor(penalty, dtype=projected.dtype, device=projected.device)
        shrunk = projected / (self.values[:, None] + b)
        return _like(self.left, self.left @ shrunk)


def _like(rows: Tensor, product: Tensor) -> Tensor:
    """Give a product of rows that are all the same rows that are all the same."""
    return product[:1].expand_as(product) if same_rows(rows) else product
