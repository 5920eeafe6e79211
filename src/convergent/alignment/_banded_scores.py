"""What a banded ridge fit says about each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convergent.alignment._means import mean_defined
from convergent.alignment._partition import Partition, partition

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FoldScores:
    """Scores on one fold; `BandedScores` says what they are.

    Attributes
    ----------
    r, r2, alpha : ndarray of float64, shape (target,)
    alone_r2, without_r2, split_r2, log10_penalty : ndarray of float64, shape (space, target)
    prediction : ndarray of float64, shape (test, target)
    """

    r: Floats
    r2: Floats
    alpha: Floats
    alone_r2: Floats
    without_r2: Floats
    split_r2: Floats
    log10_penalty: Floats
    prediction: Floats


@dataclass(frozen=True)
class BandedScores:
    """Held-out scores of several feature spaces, together and apart.

    Attributes
    ----------
    spaces : tuple of str
        Names, in the order of the space axes.
    r, r2 : ndarray of float64, shape (target,)
        Of all spaces together: means over the folds in which the target is not constant; NaN if
        there is none. The other means are taken likewise.
    alone_r2 : ndarray of float64, shape (space, target)
        R2 of a ridge model of each space alone.
    without_r2 : ndarray of float64, shape (space, target)
        R2 of a banded ridge model of all spaces but one. With two, that of the other alone.
    split_r2 : ndarray of float64, shape (space, target)
        Product measure: each space's part in the R2 of the joint model, to which they sum. The
        error of the predicted mean, which is no space's, is divided equally.
    fold_r, fold_r2, fold_alone_r2, fold_without_r2, fold_split_r2 : ndarray of float64
        The same for each fold, with the fold as first axis. R2 is about the test mean.
    log10_penalty : ndarray of float64, shape (fold, space, target)
        Chosen for the joint model; NaN for targets that are constant over the training samples.
    alpha : ndarray of float64, shape (fold, target)
        The penalties' common part: 1 / alpha is the sum over spaces of 1 / penalty.
    alpha_at_edge : ndarray of bool, shape (fold, target)
        The smallest or largest alpha was chosen; never with a grid of one.
    predictions : ndarray of float64, shape (sample, target), or None
        Held-out predictions of the joint model in the units of the responses; NaN for samples
        never tested.
    """

    spaces: tuple[str, ...]
    r: Floats
    r2: Floats
    alone_r2: Floats
    without_r2: Floats
    split_r2: Floats
    fold_r: Floats
    fold_r2: Floats
    fold_alone_r2: Floats
    fold_without_r2: Floats
    fold_split_r2: Floats
    log10_penalty: Floats
    alpha: Floats
    alpha_at_edge: NDArray[np.bool_]
    predictions: Floats | None = None

    @property
    def partition(self) -> Partition:
        """Unique and shared parts of the mean R2."""
        return partition(self.r2, self.without_r2)

    @classmethod
    def gather(
        cls,
        spaces: tuple[str, ...],
        folds: Sequence[FoldScores],
        alphas: Floats,
        predictions: Floats | None,
    ) -> BandedScores:
        """Put the folds together."""

        def stack(name: str) -> Floats:
            return np.stack([getattr(fold, name) for fold in folds])

        names = ("r", "r2", "alone_r2", "without_r2", "split_r2")
        by_fold = {f"fold_{name}": stack(name) for name in names}
        means = {name: mean_defined(by_fold[f"fold_{name}"]) for name in names}
        alpha = stack("alpha")
        return cls(
            spaces=spaces,
            **means,
            **by_fold,
            log10_penalty=stack("log10_penalty"),
            alpha=alpha,
            alpha_at_edge=(alphas.size > 1) & np.isin(alpha, alphas[[0, -1]]),
            predictions=predictions,
        )
