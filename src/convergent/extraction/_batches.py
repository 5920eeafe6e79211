"""Which inputs share a forward pass, and what happens when memory does not hold them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np

from convergent.errors import DeviceError

log = logging.getLogger(__name__)

Batches = list[tuple[int, int]]

# What allocators say where there is no class of its own for it.
_FULL = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def cut(lengths: np.ndarray, size_of: Callable[[int], int], *, alike: float = 0.0) -> Batches:
    """Cut inputs into batches.

    Parameters
    ----------
    lengths : ndarray of int, shape (input,)
        Tokens of each input, in the order of running; 1 for images.
    size_of : callable
        ``size_of(length)``: inputs that a batch may hold when its longest has so many tokens.
    alike : float
        Share of the longest input's tokens that sorted inputs of one batch have at least: 0 fills
        batches, more saves padding.

    Returns
    -------
    list of (int, int)
        First input of each batch and one past the last. They depend on nothing else, so that
        every job that reads the same inputs runs the same passes.
    """
    batches, start = [], 0
    while start < len(lengths):
        stop = start + max(1, size_of(int(lengths[start])))
        longest = int(lengths[start:stop].max())
        if longest > lengths[start]:  # inputs are not sorted
            stop = min(stop, start + max(1, size_of(longest)))
        stop = min(stop, len(lengths))
        short = np.flatnonzero(lengths[start:stop] < alike * lengths[start])
        if short.size:
            stop = start + int(short[0])
        batches.append((start, stop))
        start = stop
    return batches


def run_batches(
    batches: Sequence[tuple[int, int]], process: Callable[[int, int], None], where: str
) -> int:
    """Call ``process(start, stop)`` for all batches, in halves once memory has run out.

    Parameters
    ----------
    batches : sequence of (int, int)
    process : callable
        Handles inputs ``start`` to ``stop``; must be safe to call again after a failure.
    where : str
        For messages.

    Returns
    -------
    int
        How many times batches were halved: 0 if memory never ran out.

    Raises
    ------
    DeviceError
        If a single input does not fit.
    """
    halvings = 0
    for first, end in batches:
        start = first
        while start < end:
            size = max(1, (end - first) >> halvings)
            stop = min(start + size, end)
            if _fits(process, start, stop, where):
                start = stop
                continue
            # Outside the handler: its traceback would keep the failed pass's tensors alive.
            halvings += 1
            _release()
            log.warning("%s: out of memory with %d inputs: batches are halved", where, stop - start)
    return halvings


def _fits(process: Callable[[int, int], None], start: int, stop: int, where: str) -> bool:
    import torch

    try:
        process(start, stop)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and not any(text in str(error) for text in _FULL):
            raise
        if stop - start == 1:
            raise DeviceError(
                "out of memory with a single input",
                where=where,
                fix="use a larger machine or GPU, a lower precision, or fewer layers a job",
            ) from error
        return False
    return True


def _release() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
