"""Batches that shrink when the GPU's memory does not hold them."""

from __future__ import annotations

from collections.abc import Callable

from convergent.errors import DeviceError


def run_in_batches(
    number: int, batch_size: int, process: Callable[[int, int], None], where: str
) -> int:
    """Call ``process(start, stop)`` over all items, halving the batch when memory runs out.

    Parameters
    ----------
    number : int
        Number of items.
    batch_size : int
        Items a batch to begin with.
    process : callable
        Handles items ``start`` to ``stop``; must be safe to call again after a failure.
    where : str
        For the error message.

    Returns
    -------
    int
        Batch size at the end.

    Raises
    ------
    DeviceError
        If a single item does not fit.
    """
    import torch

    start, size = 0, max(1, batch_size)
    while start < number:
        full = False
        try:
            process(start, min(start + size, number))
        except torch.OutOfMemoryError as error:
            if size == 1:
                raise DeviceError(
                    "out of GPU memory with a single item",
                    where=where,
                    fix="use a larger GPU, a lower precision, or fewer layers a job",
                ) from error
            full = True
        # Outside the handler: its traceback would keep the failed pass's tensors alive.
        if full:
            size //= 2
            torch.cuda.empty_cache()
        else:
            start += size
    return size
