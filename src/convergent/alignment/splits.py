"""Which samples train and which test, for independent items and for one continuous story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import ConfigError, IdError

Index = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """One fold.

    Attributes
    ----------
    train, test : ndarray of int
        Row indices into the complete data, also for the splits inside a training set.
    """

    train: Index
    test: Index


def item_splits(
    ids: int | ArrayLike, groups: ArrayLike | None = None, *, folds: int, seed: int
) -> tuple[Split, ...]:
    """Shuffled K-fold over independent stimuli; a group never sits on both sides.

    The fold of a stimulus depends on the ids, the groups and the seed only. Rows are listed in
    the order of their ids, so that reordering the stimuli changes no result, not even by rounding.

    Parameters
    ----------
    ids : int or array_like, shape (stimulus,)
        Unique ids, or the number of stimuli (their positions are then the ids).
    groups : array_like, shape (stimulus,), optional
        Stimuli of one group (repeats, crops of a photograph) share a fold.
    folds : int
        At least 2, at most the number of groups.
    seed : int

    Returns
    -------
    tuple of Split, length folds
        Test sets are disjoint and cover all stimuli; without groups their sizes differ by at
        most 1, with groups each goes to the fold that is smallest so far, large groups first.

    Raises
    ------
    IdError
        Duplicate ids, or not one group a stimulus.
    ConfigError
        Fewer than 2 folds or more folds than groups.
    """
    names = np.arange(ids) if isinstance(ids, int | np.integer) else np.asarray(ids)
    rows = np.argsort(names, kind="stable")
    names = names[rows]
    if np.any(names[1:] == names[:-1]):
        raise IdError("stimulus ids occur more than once", where="splits", fix="use unique ids")
    labels = names if groups is None else _labels(groups, rows.size)[rows]
    unique, member, size = np.unique(labels, return_inverse=True, return_counts=True)
    _check_folds(folds, unique.size, "stimuli" if groups is None else "groups of stimuli")
    shuffled = np.random.default_rng(seed).permutation(unique.size)
    largest_first = shuffled[np.argsort(-size[shuffled], kind="stable")]
    load = np.zeros(folds, dtype=np.int64)
    fold_of_group = np.empty(unique.size, dtype=np.int64)
    for group in largest_first:
        fold_of_group[group] = fold = int(np.argmin(load))
        load[fold] += size[group]
    fold_of_row = fold_of_group[member]
    return tuple(Split(rows[fold_of_row != k], rows[fold_of_row == k]) for k in range(folds))


def _labels(groups: ArrayLike, count: int) -> np.ndarray:
    labels = np.asarray(groups)
    if labels.shape != (count,):
        raise IdError(
            f"groups of shape {labels.shape} for {count} stimuli",
            where="splits",
            fix="give one group a stimulus",
        )
    return labels


def story_splits(n: int, *, folds: int, trim: int) -> tuple[Split, ...]:
    """Contiguous test blocks of a story, with a gap before and after each.

    Neighbouring volumes share noise and slow signal; shuffled folds would score that
    autocorrelation. Training volumes within ``trim`` of the test block are left out.

    Parameters
    ----------
    n : int
        Number of volumes.
    folds : int
        Number of blocks; sizes differ by at most 1.
    trim : int
        Volumes dropped from training on each side of a test block.

    Returns
    -------
    tuple of Split, length folds
        In story order.

    Raises
    ------
    ConfigError
        Fewer than 2 folds, more folds than volumes, a negative trim, or no volume left to train.
    """
    return inner_story_splits(np.arange(n), folds=folds, trim=trim)


def inner_item_splits(
    train: Index,
    ids: int | ArrayLike,
    groups: ArrayLike | None = None,
    *,
    folds: int,
    seed: int,
) -> tuple[Split, ...]:
    """`item_splits` within a training set.

    Parameters
    ----------
    train : ndarray of int, shape (sample,)
        Rows of the outer training set.
    ids, groups
        Of all stimuli, as given to `item_splits`.

    Returns
    -------
    tuple of Split
        Indices into the complete data, all within ``train``.
    """
    names = np.arange(ids) if isinstance(ids, int | np.integer) else np.asarray(ids)
    inside = None if groups is None else np.asarray(groups)[train]
    splits = item_splits(names[train], inside, folds=folds, seed=seed)
    return tuple(Split(train[s.train], train[s.test]) for s in splits)


def inner_story_splits(train: Index, *, folds: int, trim: int) -> tuple[Split, ...]:
    """`story_splits` within a training set, which may itself have a gap.

    Parameters
    ----------
    train : ndarray of int, shape (sample,)
        Volumes of the outer training set.

    Returns
    -------
    tuple of Split
        Indices into the complete data; distances are those of story time, so a block that spans
        the outer gap trims around both of its parts.
    """
    volumes = np.sort(np.asarray(train, dtype=np.intp))
    _check_folds(folds, volumes.size, "volumes")
    if trim < 0:
        raise ConfigError(f"trim is {trim}", where="splits", fix="use 0 or more volumes")
    splits = []
    for test in np.array_split(volumes, folds):
        right = np.searchsorted(test, volumes).clip(0, test.size - 1)
        left = (right - 1).clip(0)
        distance = np.minimum(np.abs(volumes - test[left]), np.abs(volumes - test[right]))
        kept = volumes[distance > trim]
        if kept.size < 2:
            raise ConfigError(
                f"{folds} folds with trim {trim} leave {kept.size} of {volumes.size} to train",
                where="splits",
                fix="use a smaller trim or other folds",
            )
        splits.append(Split(kept, test))
    return tuple(splits)


def check_splits(splits: Sequence[Split], n: int, within: Index | None = None) -> None:
    """Refuse folds that leak, repeat rows or point outside the data.

    Parameters
    ----------
    splits : sequence of Split
    n : int
        Number of samples.
    within : ndarray of int, optional
        Outer training rows: inner folds must stay inside them.

    Raises
    ------
    ConfigError
    """
    if not splits:
        raise ConfigError("there is no fold", where="splits", fix="use at least one fold")
    for k, split in enumerate(splits):
        rows = np.concatenate([split.train, split.test])
        problem = None
        if split.train.size < 2 or split.test.size < 1:
            problem = f"{split.train.size} training and {split.test.size} test samples"
        elif rows.min() < 0 or rows.max() >= n:
            problem = f"rows outside the {n} samples"
        elif np.unique(rows).size != rows.size:
            problem = "a row is used twice, or both to train and to test"
        elif within is not None and not np.isin(rows, within).all():
            problem = "inner folds use rows outside the outer training set"
        if problem:
            raise ConfigError(problem, where=f"fold {k}", fix="make disjoint train and test rows")


def positions_of(rows: Index, within: Index) -> Index:
    """Position of each row among the rows of a training set."""
    order = np.argsort(within)
    return order[np.searchsorted(within, rows, sorter=order)]


def _check_folds(folds: int, count: int, what: str) -> None:
    if not 2 <= folds <= count:
        raise ConfigError(
            f"{folds} folds for {count} {what}", where="splits", fix=f"use 2 to {count} folds"
        )


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
