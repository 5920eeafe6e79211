"""Row orders that break the pairing of stimuli and responses: the permutation null."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import ConfigError

Orders = NDArray[np.intp]


def item_orders(ids: int | ArrayLike, *, permutations: int, seed: int) -> Orders:
    """Random permutations of the stimulus order.

    Parameters
    ----------
    ids : int or array_like, shape (stimulus,)
        Unique ids, or the number of stimuli. Permutation p gives a stimulus the responses to the
        same other stimulus whatever the order of the rows.
    permutations : int
    seed : int

    Returns
    -------
    ndarray of int, shape (permutation, stimulus)
        ``responses[orders[p]]`` is one null data set.
    """
    names = np.arange(ids) if isinstance(ids, int | np.integer) else np.asarray(ids)
    rows = np.argsort(names, kind="stable")
    rng = np.random.default_rng(seed)
    orders = np.empty((permutations, rows.size), dtype=np.intp)
    for p in range(permutations):
        orders[p, rows] = rows[rng.permutation(rows.size)]
    return orders


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
            fix="use item_orders or story_orders",
        )
    return checked.astype(np.intp)
