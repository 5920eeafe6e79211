"""Two halves of the samples, so that what is found in one can be measured in the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from convergent.alignment._splits import Index, item_splits
from convergent.errors import ConfigError


def halves_of_items(
    ids: int | ArrayLike, groups: ArrayLike | None = None, *, seed: int
) -> tuple[Index, Index]:
    """Divide independent stimuli into two random halves; a group never sits in both.

    Parameters
    ----------
    ids : int or array_like, shape (stimulus,)
        Unique ids, or the number of stimuli.
    groups : array_like, shape (stimulus,), optional
        Stimuli of one group (repeats, crops of a photograph) share a half.
    seed : int

    Returns
    -------
    first, second : ndarray of int
        Row indices in the order of the ids; together all rows. Which stimuli they are depends on
        the ids, the groups and the seed only, not on the order of the rows. Without groups the
        sizes differ by at most 1; with groups each group goes to the half that is smaller so far,
        large groups first.

    Raises
    ------
    IdError
        Duplicate ids, or not one group a stimulus.
    ConfigError
        Fewer than 2 groups.
    """
    one, other = item_splits(ids, groups, folds=2, seed=seed)
    return one.test, other.test


def halves_of_story(n: int, trim: int) -> tuple[Index, Index]:
    """Divide a story into its first and its second half, with a gap between them.

    Parameters
    ----------
    n : int
        Number of volumes.
    trim : int
        Volumes left out between the halves, for the responses' memory; they are in neither.

    Returns
    -------
    first, second : ndarray of int
        Row indices in story order; the second half has at most one volume more.

    Raises
    ------
    ConfigError
        A negative trim, or fewer than 2 volumes left in a half.
    """
    if trim < 0:
        raise ConfigError(f"trim is {trim}", where="halves of a story", fix="use 0 or more volumes")
    size = (n - trim) // 2
    if size < 2:
        raise ConfigError(
            f"{n} volumes with trim {trim} leave fewer than 2 volumes in a half",
            where="halves of a story",
            fix="use a smaller trim or a longer story",
        )
    return np.arange(size), np.arange(size + trim, n)
