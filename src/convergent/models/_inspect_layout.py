"""Layout of an output, from how its shape follows the input."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from convergent.errors import LayerError
from convergent.models._inspect_trace import Pass
from convergent.study.types import Layout

_MOST_PREFIX = 32

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes of an output are.

    Attributes
    ----------
    layout : {"tokens", "channels_first", "channels_last", "vector"}
    width : int
        Number of features.
    prefix : int
        Leading tokens that do not belong to a place of the image (class token, registers).
    """

    layout: Layout
    width: int
    prefix: int = 0


def axes_of(small: Shape, large: Shape, passes: tuple[Pass, Pass], where: str) -> Axes:
    """Tell items, places and features apart: items follow the batch, places the input's size.

    Parameters
    ----------
    small, large : tuple of int
        Shapes of the same module's output in the two passes.
    passes : two of Pass
        With different numbers of items, and images or texts of different sizes.
    where : str
        For the error message.

    Raises
    ------
    LayerError
        If the shapes allow none or more than one reading.
    """

    def unclear(what: str) -> LayerError:
        return LayerError(
            f"output {small} becomes {large} for a larger input: {what}",
            where=where,
            fix="list another module",
        )

    if len(small) != len(large) or not 2 <= len(small) <= 4:
        raise unclear("not 2 to 4 axes")
    if (small[0], large[0]) != (passes[0].items, passes[1].items):
        raise unclear("the first axis is not that of the items")
    moved = tuple(axis for axis in range(1, len(small)) if small[axis] != large[axis])
    if len(small) == 2:
        if moved:
            raise unclear("the number of features changes")
        return Axes("vector", small[1])
    if len(small) == 3:
        return _tokens(small, large, moved, passes, unclear)
    if moved == (2, 3) or (not moved and small[2:] == (1, 1) and small[1] > 1):
        return Axes("channels_first", small[1])
    if moved == (1, 2) or (not moved and small[1:3] == (1, 1) and small[3] > 1):
        return Axes("channels_last", small[3])
    raise unclear("it cannot be told which axis holds the channels")


def _tokens(
    small: Shape,
    large: Shape,
    moved: Shape,
    passes: tuple[Pass, Pass],
    unclear: Callable[[str], LayerError],
) -> Axes:
    if moved == (2,):
        raise unclear("channels stand before positions, which no layout of the tables says")
    if moved != (1,):
        raise unclear("it cannot be told which axis holds the tokens")
    first, second = passes
    if first.tokens is not None and second.tokens is not None:
        if (small[1], large[1]) != (first.tokens, second.tokens):
            raise unclear(f"there are {first.tokens} and {second.tokens} tokens")
        return Axes("tokens", small[2])
    places = _prefixes(small[1], large[1], first, second)
    if len(places) != 1:
        raise unclear("the number of tokens does not follow the image's area")
    return Axes("tokens", small[2], prefix=places[0])


def _prefixes(small: int, large: int, first: Pass, second: Pass) -> list[int]:
    """Numbers of leading tokens that leave square grids whose sides follow the image's."""
    assert first.side is not None and second.side is not None
    found = []
    for prefix in range(min(small, _MOST_PREFIX + 1)):
        sides = math.isqrt(small - prefix), math.isqrt(large - prefix)
        square = sides[0] ** 2 == small - prefix and sides[1] ** 2 == large - prefix
        # Odd sides are rounded where a network halves them.
        if square and abs(sides[1] - sides[0] * second.side / first.side) <= 1:
            found.append(prefix)
    return found
