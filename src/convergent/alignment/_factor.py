"""One factorisation of the features serves every target, every alpha and every permutation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from convergent.alignment._scores import is_constant

EPS = torch.finfo(torch.float64).eps

# The eigenvalues of a Gram matrix are exact up to about EPS times the largest; where that
# exceeds this share of the smallest alpha, the slower SVD of the features is taken instead.
GRAM_TOLERANCE = 1e-7


@dataclass(frozen=True)
class Factor:
    """Training and test features along their principal axes.

    With the centred training features X = U S V', ridge predictions are
    ``T (L + alpha)^-1 Z' y`` for the training scores Z = U S, the eigenvalues L = S^2 and
    T = Z (training) or the test features times V.

    Attributes
    ----------
    scores : Tensor, shape (train, component)
        Z.
    test_scores : Tensor, shape (test, component)
    eigenvalues : Tensor, shape (component,)
        L, without those that are zero but for rounding.
    full : bool
        The components span all centred training vectors (train - 1 of them), so that the fit
        interpolates as alpha goes to 0 and residuals must be computed without subtraction.
    """

    scores: Tensor
    test_scores: Tensor
    eigenvalues: Tensor
    full: bool

    @property
    def n(self) -> int:
        """Number of training samples."""
        return int(self.scores.shape[0])

    def to(self, dtype: torch.dtype) -> Factor:
        """Convert to the dtype of the target-side products."""
        return Factor(
            self.scores.to(dtype), self.test_scores.to(dtype), self.eigenvalues.to(dtype), self.full
        )

    def predict(self, projected: Tensor, alpha: Tensor | float) -> Tensor:
        """Predict the test samples, without the training mean of the targets.

        Parameters
        ----------
        projected : Tensor, shape (component, target)
            Z' y for centred training responses y.
        alpha : Tensor, shape (target,), or float

        Returns
        -------
        Tensor, shape (test, target)
        """
        return self.test_scores @ (projected / (self.eigenvalues[:, None] + alpha))


def standardise(
    train: Tensor, test: Tensor, *, scale: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Centre, and optionally scale, columns by the mean and sd of the training rows.

    Parameters
    ----------
    train, test : Tensor, shape (train, column) and (test, column)
    scale : bool
        Divide by the training sd (no degrees of freedom subtracted).

    Returns
    -------
    train, test : Tensor
        Columns that are constant over the training rows (up to rounding of the mean and the
        variance) become exactly 0 in the training rows.
    mean, sd : Tensor, shape (column,)
        sd is 1 for constant columns and where ``scale`` is false.
    """
    mean = train.mean(dim=0)
    centred = train - mean
    variance = centred.square().mean(dim=0)
    n = train.shape[0]
    rounding = n * EPS * variance + (n * EPS * mean) ** 2
    constant = is_constant(train) | (variance <= rounding)
    centred = torch.where(constant, torch.zeros_like(centred), centred)
    sd = torch.where(constant | (variance == 0), torch.ones_like(variance), variance.sqrt())
    if not scale:
        sd = torch.ones_like(sd)
    return centred / sd, (test - mean) / sd, mean, sd


def factorise(train: Tensor, test: Tensor, *, scale: bool, smallest_alpha: float) -> Factor:
    """Standardise the features and turn them to their principal axes.

    The Gram matrix of the smaller side (samples: dual, features: primal) is decomposed in
    float64 whatever dtype the targets use: it squares the condition number.

    Parameters
    ----------
    train, test : Tensor of float64, shape (train, feature) and (test, feature)
    scale : bool
        Give features unit variance. Features that are constant in training get weight 0.
    smallest_alpha : float

    Returns
    -------
    Factor
    """
    x, x_test, _, _ = standardise(train, test, scale=scale)
    # What never varied in training has no weight, whatever its test values and the rounding.
    x_test = torch.where((x == 0).all(dim=0), torch.zeros_like(x_test), x_test)
    n = x.shape[0]
    dual = n - 1 <= x.shape[1]
    gram = x @ x.T if dual else x.T @ x
    eigenvalues, vectors = torch.linalg.eigh(gram)
    largest = float(eigenvalues[-1].clamp(min=0.0))
    if largest * EPS > GRAM_TOLERANCE * smallest_alpha:
        return _factorise_svd(x, x_test)
    kept = eigenvalues > largest * EPS * max(x.shape)
    eigenvalues, vectors = eigenvalues[kept], vectors[:, kept]
    full = dual and int(kept.sum()) == n - 1
    if not dual:
        return Factor(x @ vectors, x_test @ vectors, eigenvalues, full)
    root = eigenvalues.sqrt()
    test_scores = (x_test @ x.T) @ (vectors / root)
    return Factor(vectors * root, test_scores, eigenvalues, full)


def _factorise_svd(x: Tensor, x_test: Tensor) -> Factor:
    u, s, vh = torch.linalg.svd(x, full_matrices=False)
    kept = s > s[0] * EPS * max(x.shape)
    full = int(kept.sum()) == x.shape[0] - 1
    return Factor(u[:, kept] * s[kept], x_test @ vh[kept].T, s[kept].square(), full)
