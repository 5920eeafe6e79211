"""Resamples of the stimuli, as how often each sample is drawn."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

Counts = NDArray[np.int64]


def item_resamples(
    ids: ArrayLike, groups: ArrayLike | None = None, *, bootstraps: int, seed: int
) -> Counts:
    """Draw items, or groups of items, with replacement.

    Parameters
    ----------
    ids : array_like of str, shape (sample,)
    groups : array_like, shape (sample,), optional
        Samples of one group are drawn together.
    bootstraps, seed : int

    Returns
    -------
    ndarray of int, shape (bootstrap, sample)
        Multinomial counts. The same stimuli give the same counts, whatever their order, for every
        layer, checkpoint and subject.

    References
    ----------
    Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 6.
    """
    names = np.asarray(ids).astype(str)
    units = names if groups is None else np.asarray(groups).astype(str)
    unique, member = np.unique(units, return_inverse=True)
    return _drawn(unique, bootstraps, seed)[:, member]


def story_resamples(samples: int, *, block: int, bootstraps: int, seed: int) -> Counts:
    """Draw contiguous blocks of volumes with replacement.

    Parameters
    ----------
    samples, block : int
        Volumes of the story, and of one block; the last block takes what is left.
    bootstraps, seed : int

    Returns
    -------
    ndarray of int, shape (bootstrap, sample)

    References
    ----------
    Carlstein, Ann. Stat. 14 (1986) 1171-1179 (blocks that do not overlap).
    """
    count = max(samples // block, 1)
    member = np.minimum(np.arange(samples) // block, count - 1)
    return _drawn(np.arange(count).astype(str), bootstraps, seed)[:, member]


def _drawn(units: NDArray[np.str_], bootstraps: int, seed: int) -> Counts:
    digest = hashlib.sha256("\n".join(units.tolist()).encode()).digest()
    rng = np.random.default_rng([seed, int.from_bytes(digest[:8], "little")])
    n = units.size
    return rng.multinomial(n, np.full(n, 1 / n), size=bootstraps)
