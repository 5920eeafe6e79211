"""Devices: what was asked for, or an error."""

from __future__ import annotations

from convergent.errors import DeviceError
from convergent.names import DEVICE_FIX, device_error


def resolve_device(device: str) -> str:
    """Check that a device exists here. There is no fallback to another one.

    Parameters
    ----------
    device : str
        ``cpu``, ``cuda`` or ``cuda:<n>``.

    Returns
    -------
    str
        The same.

    Raises
    ------
    DeviceError
        If the device is of another kind, or this machine does not have it.
    """
    if device == "cpu":
        return device
    if (reason := device_error(device)) is not None:
        raise DeviceError(reason, fix=DEVICE_FIX)
    import torch

    if not torch.cuda.is_available():
        raise DeviceError(
            f"device '{device}' was asked for and this machine has no usable CUDA GPU",
            fix="run on a GPU node, or set the device to cpu",
        )
    count = torch.cuda.device_count()
    if int(device.partition(":")[2] or 0) >= count:
        raise DeviceError(
            f"device '{device}' does not exist, there are {count}",
            fix=f"use cuda:0 to cuda:{count - 1}",
        )
    return device
