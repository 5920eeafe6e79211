"""Short names for many module paths: the inverse of ``expand_braces``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from convergent.study.tables import expand_braces


def compress_braces(names: Sequence[str]) -> str:
    """Write module paths with ranges, in their order.

    Parameters
    ----------
    names : sequence of str

    Returns
    -------
    str
        Patterns separated by ``;``, which the models table expands to ``names`` again.

    Examples
    --------
    >>> compress_braces(["stem", "blocks.0", "blocks.1", "blocks.2", "norm"])
    'stem;blocks.{0-2};norm'
    >>> compress_braces(["stages.0.0", "stages.0.1", "stages.1.0", "stages.1.1"])
    'stages.{0-1}.{0-1}'
    """
    patterns = _merge(list(names), last_only=True)
    # A second pass joins stages of the same shape; deeper nesting would not be readable.
    patterns = _merge(patterns, last_only=False)
    expanded = [name for pattern in patterns for name in expand_braces(pattern)]
    assert expanded == list(names), f"{patterns} does not expand to {list(names)}"
    return ";".join(patterns)


def _merge(patterns: list[str], last_only: bool) -> list[str]:
    merged: list[str] = []
    start = 0
    while start < len(patterns):
        stop, pattern = _longest_run(patterns, start, last_only)
        merged.append(pattern)
        start = stop
    return merged


def _longest_run(patterns: list[str], start: int, last_only: bool) -> tuple[int, str]:
    # The longest run that differs in one number; of equal ones the rightmost number.
    best, best_pattern = start + 1, patterns[start]
    parts = _parts(patterns[start])
    places = [place for place, part in enumerate(parts) if part.isdigit()]
    for place in reversed(places[-1:] if last_only else places):
        if any("{" in part for part in parts[:place]):
            continue  # the leftmost braces vary slowest, so a new one must stand before them
        numbers = [int(parts[place])]
        for following in patterns[start + 1 :]:
            other = _parts(following)
            if len(other) != len(parts) or not other[place].isdigit():
                break
            if [*other[:place], *other[place + 1 :]] != [*parts[:place], *parts[place + 1 :]]:
                break
            numbers.append(int(other[place]))
        # Numbers with leading zeros cannot be written as a range.
        if str(numbers[0]) != parts[place] or len(numbers) < 2 or start + len(numbers) <= best:
            continue
        text = "".join([*parts[:place], f"{{{_ranges(numbers)}}}", *parts[place + 1 :]])
        run = patterns[start : start + len(numbers)]
        if expand_braces(text) != [name for pattern in run for name in expand_braces(pattern)]:
            continue
        best, best_pattern = start + len(numbers), text
    return best, best_pattern


def _parts(pattern: str) -> list[str]:
    return [part for part in re.split(r"(\{[^{}]*\}|\d+)", pattern) if part]


def _ranges(numbers: list[int]) -> str:
    pieces: list[str] = []
    start = 0
    for stop in range(1, len(numbers) + 1):
        if stop < len(numbers) and numbers[stop] == numbers[stop - 1] + 1:
            continue
        first, last = numbers[start], numbers[stop - 1]
        pieces.append(f"{first}-{last}" if last > first else str(first))
        start = stop
    return ",".join(pieces)
