"""How much is done at once: blocks of metrics, regions and permutations that fit in memory."""

from __future__ import annotations

from typing import NamedTuple

from convergent.errors import ConfigError

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
