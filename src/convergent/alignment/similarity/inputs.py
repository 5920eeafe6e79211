"""What a comparison refuses, said before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.alignment.orders import Orders, check_orders
from convergent.errors import ConfigError, DataError, NumericalError

Index = NDArray[np.intp]

_BLOCK = 4096


def check_matrix(values: Any, column: str) -> NDArray[Any]:
    """Return real, finite values (stimulus, column), in the type that they have.

    Unlike `finite_features` it makes no float64 copy, which wide layers have no room for.

    Raises
    ------
    DataError
        Not two axes, empty, or not real numbers.
    NumericalError
        NaN or infinity; the message counts the columns concerned.
    """
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape or array.dtype.kind not in "fiub":
        raise DataError(
            f"array of shape {array.shape} and type {array.dtype} where real numbers "
            f"(stimulus, {column}) are needed",
            where="similarity",
            fix="give two non-empty axes of numbers",
        )
    starts = range(0, array.shape[1], _BLOCK) if array.dtype.kind == "f" else ()
    bad = sum(int((~np.isfinite(array[:, i : i + _BLOCK])).any(axis=0).sum()) for i in starts)
    if bad:
        raise NumericalError(
            f"NaN or infinity in {bad} of {array.shape[1]} {column}s",
            where="similarity",
            fix="record the layer as failed, or run it in float32"
            if column == "feature"
            else "leave out the targets or the subject in the reader",
        )
    return array


def check_responses(responses: Any, stimuli: int) -> NDArray[Any]:
    """Return the responses, read whole, if they are of as many stimuli as the features.

    Raises
    ------
    DataError, NumericalError
    """
    array = check_matrix(responses, "target")
    if array.shape[0] != stimuli:
        raise DataError(
            f"{stimuli} stimuli of features and {array.shape[0]} of responses",
            where="similarity",
            fix="join stimuli and responses by id first",
        )
    return array


def region_columns(region_index: ArrayLike | None, targets: int, n_regions: int) -> list[Index]:
    """Columns of the responses that belong to each region.

    Raises
    ------
    DataError
        Lengths differ, an index is out of range, or there is no region.
    """
    index = np.asarray(-1 if region_index is None else region_index)
    good = index.shape == (targets,) and index.dtype.kind in "iu" and n_regions >= 1
    if not good or index.min() < -1 or index.max() >= n_regions:
        raise DataError(
            f"region index of shape {index.shape} for {targets} targets and {n_regions} regions",
            where="similarity",
            fix="give one whole number from -1 to n_regions - 1 a target, and a region or more",
        )
    order = np.argsort(index, kind="stable")
    bounds = np.searchsorted(index[order], np.arange(n_regions + 1))
    return [order[bounds[i] : bounds[i + 1]] for i in range(n_regions)]


def check_halves(halves: Sequence[ArrayLike] | None, stimuli: int) -> list[Index]:
    """Return the halves' rows if they are two or more disjoint sets of stimuli.

    Raises
    ------
    ConfigError
    """
    if halves is None:
        return []
    rows = [np.asarray(half) for half in halves]
    good = len(rows) >= 2 and all(half.ndim == 1 and half.dtype.kind in "iu" for half in rows)
    every = np.concatenate(rows) if good else np.empty(0)
    if (
        not good
        or min(half.size for half in rows) == 0
        or np.unique(every).size != every.size
        or every.min() < 0
        or every.max() >= stimuli
    ):
        raise ConfigError(
            f"halves are not two or more disjoint sets of rows of {stimuli} stimuli",
            where="similarity",
            fix="give the row numbers of each, from 0, none of them twice",
        )
    return [half.astype(np.intp) for half in rows]


def check_permutations(
    permutations: ArrayLike | None, stimuli: int, halves: Sequence[Index]
) -> Orders | None:
    """Return the row orders if each maps every half to itself.

    A permutation that moves stimuli between the halves would use in one what the other was
    chosen by.

    Raises
    ------
    ConfigError
    """
    if permutations is None:
        return None
    orders = check_orders(permutations, stimuli)
    for half in halves:
        if not np.isin(orders[:, half], half).all():
            raise ConfigError(
                "permutations move stimuli out of their half",
                where="permutation null",
                fix="permute within each half, as block_orders(..., within=halves) does",
            )
    return orders


def orders_within(orders: Orders, half: Index) -> Orders:
    """Row orders of all stimuli as row orders of a half that they map to itself."""
    position = np.zeros(orders.shape[1], dtype=np.intp)
    position[half] = np.arange(half.size)
    return position[orders[:, half]]


# Making a region's distances takes about as long as gathering this many permuted vectors.
_GEOMETRY_COST = 60


class Blocks(NamedTuple):
    """Sizes of blocks.

    Attributes
    ----------
    layers : int
    vectors : int
        Pair vectors of each layer (a metric at a scale) at once.
    regions : int
        Of one subject.
    orders : int
        Row orders at once.
    """

    layers: int
    vectors: int
    regions: int
    orders: int


def plan_blocks(
    *,
    layers: int,
    vectors: int,
    regions: int,
    orders: int,
    stimuli: int,
    pairs: int,
    item_bytes: int,
    memory: int,
) -> Blocks:
    """Choose the blocks that do the least work within a memory budget.

    Each block of vectors makes the geometry of every region anew; each block of regions permutes
    every vector anew. A quarter of the memory is for permuted vectors and their indices.

    Regions and orders, which give a matrix product its shape, are planned as for one layer: its
    scores are then the same, bit for bit, whatever other layers come with it.

    Parameters
    ----------
    layers, vectors, regions, orders : int
        How many there are; regions of one subject.
    stimuli, pairs : int
        Stimuli, and the most pairs that a vector has.
    item_bytes : int
        Bytes of a number.
    memory : int
        Bytes.

    Raises
    ------
    ConfigError
        The memory does not hold one of each.
    """
    matrix, vector = stimuli**2 * item_bytes, pairs * item_bytes
    permuted = vector + pairs * 8
    needed = max(4 * permuted, 4 * (matrix + vector) // 3 + 1)
    if memory < needed:
        raise ConfigError(
            f"memory of {memory} bytes does not hold the pairs of {stimuli} stimuli",
            where="similarity",
            fix=f"give at least {needed} bytes",
        )
    some_orders = min(orders, memory // 4 // permuted)
    room = 3 * memory // 4
    best: tuple[int, int] | None = None
    for number in range(1, regions + 1):
        some_regions = -(-regions // number)
        some = min(vectors, room // (matrix + some_regions * vector))
        if some == 0:
            continue
        work = regions * -(-vectors // some) * _GEOMETRY_COST + number * vectors * orders
        best = min(best or (work, some_regions), (work, some_regions))
    assert best is not None
    some_regions = best[1]
    some_layers = min(layers, (room - some_regions * vector) // matrix)
    some = min(vectors, room // (some_layers * matrix + some_regions * vector))
    return Blocks(some_layers, some, some_regions, some_orders)
