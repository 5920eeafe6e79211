"""How much of the explained variance each feature space alone can explain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Partition:
    """Explained variance, divided by who can explain it.

    Attributes
    ----------
    total : ndarray of float64, shape (target,)
        R2 of all spaces together.
    unique : ndarray of float64, shape (space, target)
        What the model loses without a space.
    shared : ndarray of float64, shape (target,)
        The rest, which two or more spaces can explain.

    The parts sum to the total. Held-out R2 estimates are noisy: a part of nothing scatters
    around 0 and so is negative about as often as positive.
    """

    total: Floats
    unique: Floats
    shared: Floats


def partition(total: ArrayLike, without: ArrayLike) -> Partition:
    """Divide R2 into unique and shared parts.

    unique(A) = R2(all) - R2(all but A); shared = R2(all) - sum of the unique parts, which for two
    spaces is R2(A) + R2(B) - R2(A + B).

    Parameters
    ----------
    total : array_like, shape (target,)
        Held-out R2 of all spaces together.
    without : array_like, shape (space, target)
        Held-out R2 of all spaces but one. For two spaces, A and B: that of B alone, then that of
        A alone.

    Returns
    -------
    Partition
        NaN where a target's R2 is.

    Raises
    ------
    DataError
        The shapes do not belong together.

    References
    ----------
    de Heer et al., J. Neurosci. 37 (2017) 6539-6557 (variance partitioning); Lescroart et al.,
    Front. Comput. Neurosci. 9 (2015) 135.
    """
    joint, rest = (np.asarray(values, dtype=np.float64) for values in (total, without))
    if joint.ndim != 1 or rest.ndim != 2 or rest.shape[0] < 2 or rest.shape[1:] != joint.shape:
        raise DataError(
            f"R2 of shape {joint.shape}, and {rest.shape} without each space",
            where="variance partitioning",
            fix="give (target,) and (space, target), of two or more spaces",
        )
    unique = joint - rest
    return Partition(joint, unique, joint - unique.sum(axis=0))
