"""How many inputs a batch holds, from what one input needs and what the machine has.

A batch's size must not depend on which layers a job reads, or on what else runs on the machine:
products of other shapes round differently, and a layer's store would not be, to the last bit, the
one that a job for the whole checkpoint writes. Sizes are therefore planned from facts: the model's
row, the inputs' lengths, the bytes that a probe allocates on its way to the row's second layer,
and the whole memory of the device (or what the study allows). What is free at the moment only
shrinks a plan that would fail.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from convergent.errors import DeviceError

log = logging.getLogger(__name__)


GIB = 2**30
# Kernels' workspaces, fragments of the allocator, and copies that pooling makes are not counted
# by the probe.
_SAFETY = 2.0
# Beyond these a CPU gains nothing (benchmarks/extraction.py); those of GPUs are a choice.
_MOST_INPUTS = {"cpu": 32, "cuda": 256}
_MOST_TOKENS = {"cpu": 4096, "cuda": 32768}
_CPU_GIB = 1.0


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Bytes of the tensors that are alive, as operations make and drop them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._now: int = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(s) for s in _storages((args, kwargs or {}))}
        result = func(*args, **(kwargs or {}))
        for storage in _storages(result):
            # views share the storage of what they look at
            if id(storage) in given or id(storage) in self._known:
                continue
            size = storage.nbytes()
            self._known.add(id(storage))
            self._now += size
            weakref.finalize(storage, self._dropped, id(storage), size)
        self.peak = max(self.peak, self._now)
        return result

    def _dropped(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._now -= size


def _storages(values: Any) -> list[Any]:
    tensors = [value for value in tree_flatten(values)[0] if isinstance(value, Tensor)]
    return [tensor.untyped_storage() for tensor in tensors]


def peak_bytes(call: Callable[[], Any]) -> int:
    """Most bytes that tensors made during a call took at once.

    Counted from their sizes, not from an allocator: the same on every device and every time.
    """
    counter = _Counter()
    with counter:
        call()
    return counter.peak


@dataclass(frozen=True)
class Cost:
    """Bytes that one input's activations take, by its number of tokens.

    Attributes
    ----------
    linear, quadratic : float
        Bytes a token, and a pair of tokens (attention without a fused kernel).
    """

    linear: float
    quadratic: float = 0.0

    @classmethod
    def through(cls, short: tuple[int, int], long: tuple[int, int]) -> Cost:
        """Fit two measurements (tokens, bytes); what does not grow with the square is linear."""
        (a, bytes_a), (b, bytes_b) = short, long
        if a == b:
            return cls(bytes_b / b)
        quadratic = max(0.0, (bytes_b / b - bytes_a / a) / (b - a))
        return cls(bytes_b / b - quadratic * b, quadratic)

    def __call__(self, length: int) -> float:
        """Bytes that an input of so many tokens needs."""
        return self.linear * length + self.quadratic * length**2


@dataclass(frozen=True)
class Sizer:
    """Inputs that a batch may hold.

    Attributes
    ----------
    cost : Cost
    budget : float
        Bytes for activations.
    most_inputs, most_tokens : int
    """

    cost: Cost
    budget: float
    most_inputs: int
    most_tokens: int

    def __call__(self, length: int) -> int:
        """Largest power of two that fits, so that small differences in cost change nothing."""
        fits = min(
            self.most_inputs,
            self.most_tokens // length,
            int(self.budget / (_SAFETY * max(self.cost(length), 1.0))),
        )
        return 1 << max(0, fits.bit_length() - 1)


def plan_sizes(
    cost: Cost, *, device: str, weights: int, longest: int, memory_gb: float | None, where: str
) -> Sizer:
    """Plan batch sizes for a device.

    Parameters
    ----------
    cost : Cost
    device : str
    weights : int
        Bytes of the whole model's parameters, loaded or not.
    longest : int
        Tokens of the longest input; 1 for images.
    memory_gb : float, optional
        GiB for activations. Unless given: 1 GiB on the CPU; on a GPU, nine tenths of its memory
        less the weights, and at least a sixteenth (a model may lie on several).
    where : str
        For messages.

    Raises
    ------
    DeviceError
        If there is no memory at all.
    """
    kind = "cuda" if device.startswith("cuda") else "cpu"
    free, total = memory_of(device)
    if free <= 0:
        raise DeviceError("no memory is free", where=where, fix="use another machine or GPU")
    if memory_gb is not None:
        budget = memory_gb * GIB
    elif kind == "cuda":
        budget = max(0.9 * total - weights, total / 16)
    else:
        budget = _CPU_GIB * GIB
    planned = Sizer(cost, budget, _MOST_INPUTS[kind], _MOST_TOKENS[kind])
    needed = _SAFETY * planned(longest) * cost(longest)
    while needed > free and budget > cost(longest):
        budget, needed = budget / 2, needed / 2
    if budget < planned.budget:
        log.warning(
            "%s: %.1f GiB are free, %.1f planned: smaller batches, so features may differ from "
            "other jobs' by rounding",
            where, free / GIB, planned.budget / GIB,
        )  # fmt: skip
    return Sizer(cost, budget, planned.most_inputs, planned.most_tokens)


def memory_of(device: str) -> tuple[int, int]:
    """Bytes that are free on a device and that it has in all; of a job, what the job may use."""
    if device.startswith("cuda"):
        import torch

        free, total = torch.cuda.mem_get_info(device)
        # what the allocator keeps for the next tensors is free as well
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + int(kept), int(total)
    import psutil  # type: ignore[import-untyped]

    memory = psutil.virtual_memory()
    free, total = int(memory.available), int(memory.total)
    for limit, used in _job_limits():
        free, total = min(free, limit - used), min(total, limit)
    return free, total


def _job_limits(
    root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")
) -> list[tuple[int, int]]:
    """Memory limits of the control groups that this process is in, and what they use."""
    names = {"": ("memory.max", "memory.current"),
             "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes")}  # fmt: skip
    found = []
    lines = own.read_text().splitlines() if own.exists() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers not in names:
            continue
        limit, usage = names[controllers]
        parts = Path(path.lstrip("/")).parts
        for depth in range(len(parts) + 1):
            here = root.joinpath(controllers, *parts[:depth])
            try:
                used = int((here / usage).read_text()) - _cache(here / "memory.stat")
                found.append((int((here / limit).read_text()), used))
            except (OSError, ValueError):  # no limit ("max"), or none at this level
                continue
    return found


def _cache(stat: Path) -> int:
    """Bytes of files that the system drops when memory is wanted."""
    pairs = (line.split() for line in stat.read_text().splitlines())
    return sum(int(number) for name, number in pairs if name in ("active_file", "inactive_file"))


def itemsize(dtype: str) -> int:
    """Bytes of one value of a type that torch knows by this name."""
    import torch

    return int(getattr(torch, dtype).itemsize)
