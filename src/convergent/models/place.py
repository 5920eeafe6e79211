"""What every torch source does alike: seeded construction, evaluation mode, placement."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from convergent.errors import DeviceError

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


@contextmanager
def uninitialised() -> Iterator[None]:
    """Build networks without drawing their parameters, which are to be overwritten.

    Buffers are computed as usual: constructors find their device and type from parameters, so
    that these must be real, but memory that is never written costs nothing.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    keeping = {"requires_grad_", "detach_", "share_memory_", "resize_", "set_"}

    class Skip(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            name = getattr(function, "__name__", "")
            if name.endswith("_") and not name.endswith("__") and name not in keeping:
                target = next(iter((*arguments, *(named or {}).values())), None)
                if isinstance(target, torch.nn.Parameter):
                    return target
            return function(*arguments, **(named or {}))

    with Skip():
        yield


def drop_data(module: torch.nn.Module, kept: Collection[str]) -> None:
    """Move every parameter to the meta device but those that are kept, under any of their names."""
    from torch import nn

    named = list(module.named_parameters(remove_duplicate=False))
    stay = {id(parameter) for name, parameter in named if name in kept}
    twins: dict[int, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and id(parameter) not in stay and not parameter.is_meta:
                twin = nn.Parameter(parameter.to("meta"), requires_grad=parameter.requires_grad)
                part._parameters[name] = twins.setdefault(id(parameter), twin)


def sketch(module: torch.nn.Module) -> torch.nn.Module:
    """Copy a network to the meta device, without copying its data."""
    twins: dict[int, Any] = {}
    tensors = [*module.parameters(), *module.buffers()]
    for tensor in tensors:
        twins[id(tensor)] = type(tensor)(tensor.to("meta"))
    copied: torch.nn.Module = copy.deepcopy(module, twins)
    return copied.to("meta")


def freeze(module: torch.nn.Module, device: str, dtype: str | None = None) -> torch.nn.Module:
    """Put a module on its device, in evaluation mode and without gradients.

    Tensors without data (weights that were left in the file) stay so.

    Parameters
    ----------
    module : torch.nn.Module
    device : str
    dtype : str, optional
        Of parameters and buffers; as they are unless given.
    """
    import torch

    wanted = getattr(torch, dtype) if dtype else None

    def move(tensor: Any) -> Any:
        if tensor.is_meta:
            return tensor
        return tensor.to(device=device, dtype=wanted if tensor.is_floating_point() else None)

    moved: torch.nn.Module = module._apply(move)  # type: ignore[no-untyped-call]
    return moved.eval().requires_grad_(False)


# Weights fill at most this share of a GPU's free memory: activations need the rest.
FILL = 0.8

Place = int | str
DeviceMap = dict[str, Any]


def device_map(
    module: torch.nn.Module,
    device: str,
    *,
    spread: bool,
    offload: str,
    where: str,
    memory: Mapping[Place, int] | None = None,
) -> DeviceMap | None:
    """Decide where the parts of a network go, before a weight is read.

    Parameters
    ----------
    module : torch.nn.Module
        On the meta device, in the precision that it will have.
    device : str
        ``cpu``; ``cuda``: all GPUs that the job sees; ``cuda:<n>``: that one only.
    spread : bool
        Use the GPUs even if one would do.
    offload : {"none", "cpu"}
        Whether what fits on no GPU may wait in host memory and be moved there when it runs.
    where : str
        For the error message.
    memory : mapping, optional
        Bytes by GPU number and ``cpu``; those that are free unless given.

    Returns
    -------
    dict or None
        GPU number or ``cpu`` by module path, as `accelerate` takes it; None: all on ``device``.

    Raises
    ------
    DeviceError
        If the weights do not fit; the message says how many GPUs would do.
    """
    if device == "cpu" and not spread:
        return None
    from accelerate import infer_auto_device_map
    from accelerate.utils import compute_module_sizes

    free = dict(_free(device) if memory is None else memory)
    gpus = {place: int(FILL * size) for place, size in free.items() if place != "cpu"}
    size = int(compute_module_sizes(module)[""])
    if gpus and not spread and size <= next(iter(gpus.values())):
        return None
    limits: dict[Any, int] = dict(gpus)
    limits["cpu"] = int(FILL * free.get("cpu", 0)) if offload == "cpu" else 0
    places: DeviceMap = {"": "disk"}
    if gpus:
        whole = getattr(module, "_no_split_modules", None)
        places = dict(
            infer_auto_device_map(
                module, max_memory=limits, no_split_module_classes=sorted(whole or ())
            )
        )
    allowed = {*gpus, "cpu"} if offload == "cpu" else set(gpus)
    if not set(places.values()) <= allowed:
        raise DeviceError(_too_large(size, gpus, offload), where=where, fix=_advice(offload))
    return places


def _too_large(size: int, gpus: Mapping[Place, int], offload: str) -> str:
    per_gpu = min(gpus.values(), default=0)
    needed = f", {math.ceil(size / per_gpu)} or more like them are needed" if per_gpu else ""
    also = " and in host memory" if offload == "cpu" else ""
    return (
        f"{size / 1e9:.1f} GB of weights do not fit on the GPUs of this machine{also}: "
        f"{len(gpus)} with room for {per_gpu / 1e9:.1f} GB each{needed}"
    )


def _advice(offload: str) -> str:
    more = "ask for more GPUs (resources.gpu_mb tells the workflow how large one is)"
    return f"{more}, lower the precision" + (
        ", or set extraction.offload to cpu" if offload == "none" else ""
    )


def _free(device: str) -> dict[Place, int]:
    import torch

    memory: dict[Place, int] = {}
    if device.startswith("cuda") and torch.cuda.is_available():
        named = device.partition(":")[2]
        numbers = [int(named)] if named else range(torch.cuda.device_count())
        memory = {number: torch.cuda.mem_get_info(number)[0] for number in numbers}
    memory["cpu"] = _host()
    return memory


def _host() -> int:
    import os

    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
