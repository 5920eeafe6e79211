"""Row orders that break the pairing of stimuli and responses: the permutation null."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import ConfigError

Orders = NDArray[np.intp]
Rows = NDArray[np.intp]


def item_orders(
    ids: int | ArrayLike,
    *,
    permutations: int,
    seed: int,
    within: Sequence[ArrayLike] | None = None,
) -> Orders:
    """Random permutations of the stimulus order.

    Parameters
    ----------
    ids : int or array_like, shape (stimulus,)
        Unique ids, or the number of stimuli. Permutation p gives a stimulus the responses to the
        same other stimulus whatever the order of the rows.
    permutations : int
    seed : int
    within : sequence of array_like of int, optional
        Disjoint sets of rows (`halves_of_items`); every order maps each set to itself, so that
        the sets can be scored apart. Rows in no set stay where they are.

    Returns
    -------
    ndarray of int, shape (permutation, stimulus)
        ``responses[orders[p]]`` is one null data set. No two orders are equal, and none is the
        identity.

    Raises
    ------
    ConfigError
        Fewer different orders than permutations, or row sets that overlap or leave the data.
    """
    names = np.arange(ids) if isinstance(ids, int | np.integer) else np.asarray(ids)
    rows = np.argsort(names, kind="stable")
    rank = np.argsort(rows, kind="stable")
    sets = [rows] if within is None else _row_sets(within, rows.size)
    # By id, each set and the sets among themselves: the draws then belong to stimuli, not rows.
    sets = sorted((part[np.argsort(rank[part])] for part in sets), key=lambda part: rank[part[0]])
    _check_number(permutations, math.prod(math.factorial(part.size) for part in sets), "stimuli")
    rng = np.random.default_rng(seed)
    return _draw(rows.size, permutations, sets, lambda size: rng.permutation(size))


def block_orders(
    n: int,
    *,
    block: int,
    permutations: int,
    seed: int,
    within: Sequence[ArrayLike] | None = None,
) -> Orders:
    """Permutations of contiguous blocks of a time series, which keep the time inside a block.

    For series too short for enough circular shifts (`story_orders`), or scored in parts. Blocks
    start at a random phase, anew for each permutation, so that the seams fall everywhere; the
    first and the last block may be shorter. Correlations across a seam are lost: a block must be
    several times as long as the responses' memory (haemodynamic delay plus autocorrelation), or
    p values come out too small. For AR(1) series with coefficients a and b, the variance of
    their null correlation is too small by about 2 sum_k (ab)^k min(k / block, 1), relative to
    (1 + ab) / (1 - ab).

    Parameters
    ----------
    n : int
        Number of volumes.
    block : int
        Volumes in a block, at most half of the volumes (of each row set).
    permutations : int
    seed : int
    within : sequence of array_like of int, optional
        Disjoint sets of neighbouring rows (`halves_of_story`); every order maps each set to
        itself, so that the sets can be scored apart. Rows in no set, such as those trimmed
        between two halves, stay where they are.

    Returns
    -------
    ndarray of int, shape (permutation, sample)
        No two orders are equal, and none is the identity.

    Raises
    ------
    ConfigError
        A block below 1 or above half of the rows, fewer orders of whole blocks than permutations,
        or row sets that overlap, have gaps or leave the data.

    References
    ----------
    Kunsch, Annals of Statistics 17 (1989) 1217-1241 (blocks of dependent data); Winkler et al.,
    NeuroImage 123 (2015) 253-268 (exchangeability blocks).
    """
    sets = [np.arange(n)] if within is None else _row_sets(within, n)
    sets = sorted((np.sort(part) for part in sets), key=lambda part: int(part[0]))
    for part in sets:
        if part[-1] - part[0] != part.size - 1:
            raise ConfigError(
                f"a set of {part.size} rows from {part[0]} to {part[-1]} has gaps",
                where="permutation null",
                fix="use sets of neighbouring volumes, as halves_of_story gives",
            )
        if not 1 <= block <= part.size / 2:
            raise ConfigError(
                f"blocks of {block} volumes in a series of {part.size}",
                where="permutation null",
                fix=f"use 1 to {part.size // 2} volumes, so that there are blocks to exchange",
            )
    number = math.prod(math.factorial(part.size // block) for part in sets)
    _check_number(permutations, number, f"blocks of {block} volumes")
    rng = np.random.default_rng(seed)

    def exchange(size: int) -> Rows:
        phase = int(rng.integers(block))
        blocks = np.split(np.arange(size), np.arange(phase or block, size, block))
        return np.concatenate([blocks[k] for k in rng.permutation(len(blocks))])

    return _draw(n, permutations, sets, exchange)


def story_orders(n: int, *, permutations: int, minimum: int, seed: int) -> Orders:
    """Circular shifts of the responses, which keep their autocorrelation.

    Parameters
    ----------
    n : int
        Number of volumes.
    permutations : int
        Number of different shifts.
    minimum : int
        Smallest shift in volumes, in either direction; longer than the responses' memory
        (haemodynamic delay plus autocorrelation).
    seed : int

    Returns
    -------
    ndarray of int, shape (permutation, sample)

    Raises
    ------
    ConfigError
        Fewer different shifts than permutations: a p value from repeated shifts is not one.
    """
    shifts = np.arange(max(1, minimum), n - max(1, minimum) + 1)
    if permutations > shifts.size:
        raise ConfigError(
            f"{permutations} permutations of {n} volumes, but only {shifts.size} circular shifts "
            f"of at least {minimum} volumes",
            where="permutation null",
            fix=f"use at most {shifts.size} permutations",
        )
    chosen = np.random.default_rng(seed).choice(shifts, size=permutations, replace=False)
    orders: Orders = (np.arange(n)[None, :] + chosen[:, None]) % n
    return orders


def check_orders(orders: ArrayLike, n: int) -> Orders:
    """Return the orders if each is a permutation of the n samples.

    Raises
    ------
    ConfigError
    """
    checked = np.asarray(orders)
    if checked.ndim != 2 or not (np.sort(checked, axis=1) == np.arange(n)).all():
        raise ConfigError(
            f"permutations of shape {checked.shape} are not row orders of {n} samples",
            where="permutation null",
            fix="use item_orders, story_orders or block_orders",
        )
    return checked.astype(np.intp)


def _draw(
    n: int, permutations: int, sets: Sequence[Rows], exchange: Callable[[int], Rows]
) -> Orders:
    """Draw different orders other than the identity, each set among its own rows.

    The observed data already count once in a p value; drawing them again, or one null data set
    twice, would make it coarser than it says.
    """
    orders = np.empty((permutations, n), dtype=np.intp)
    seen = {np.arange(n).tobytes()}
    drawn = 0
    while drawn < permutations:
        order = np.arange(n)
        for rows in sets:
            order[rows] = rows[exchange(rows.size)]
        if order.tobytes() not in seen:
            seen.add(order.tobytes())
            orders[drawn] = order
            drawn += 1
    return orders


def _check_number(permutations: int, orders: int, what: str) -> None:
    if permutations > orders - 1:
        raise ConfigError(
            f"{permutations} permutations, but only {orders - 1} other orders of the {what}",
            where="permutation null",
            fix=f"use at most {orders - 1} permutations, or more and shorter parts to exchange",
        )


def _row_sets(within: Sequence[ArrayLike], n: int) -> list[Rows]:
    sets = [np.asarray(part) for part in within]
    problem = None
    if not sets or any(part.ndim != 1 or part.size == 0 for part in sets):
        problem = "no row set, or an empty one"
    elif any(part.dtype.kind not in "iu" for part in sets):
        problem = "row sets that are not row numbers"
    else:
        rows = np.concatenate(sets)
        if rows.min() < 0 or rows.max() >= n:
            problem = f"row sets reach outside the {n} samples"
        elif np.unique(rows).size != rows.size:
            problem = "a row is in two sets, or twice in one"
    if problem:
        raise ConfigError(
            problem, where="permutation null", fix="give disjoint sets of row numbers"
        )
    return [part.astype(np.intp) for part in sets]


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
