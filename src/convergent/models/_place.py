"""What every torch source does alike: seeded construction, evaluation mode, placement."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from a seed, on the CPU, and leave the global state alone."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def build(make: Callable[[], torch.nn.Module], seed: int | None) -> torch.nn.Module:
    """Call ``make`` with weights drawn from ``seed`` (0 where they are overwritten anyway)."""
    with seeded(0 if seed is None else seed):
        return make()


def freeze(module: torch.nn.Module, device: str, dtype: str) -> torch.nn.Module:
    """Put a module on its device, in evaluation mode and without gradients."""
    import torch

    return module.to(device=device, dtype=getattr(torch, dtype)).eval().requires_grad_(False)
