"""Devices: what was asked for, or an error."""

from __future__ import annotations

import re

from convergent.errors import DeviceError

_DEVICE = re.compile(r"cpu|cuda(?::(\d{1,3}))?")


def check_device_name(device: str) -> None:
    """Check how a device is written, not whether this machine has it.

    Raises
    ------
    DeviceError
        Another text than ``cpu``, ``cuda`` or ``cuda:<n>``.
    """
    if not _DEVICE.fullmatch(device):
        raise DeviceError(f"unknown device '{device}'", fix="write cpu, cuda or cuda:<number>")


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
    check_device_name(device)
    match = _DEVICE.fullmatch(device)
    assert match is not None
    import torch

    if not torch.cuda.is_available():
        raise DeviceError(
            f"device '{device}' was asked for and this machine has no usable CUDA GPU",
            fix="run on a GPU node, or set the device to cpu",
        )
    count = torch.cuda.device_count()
    if int(match[1] or 0) >= count:
        raise DeviceError(
            f"device '{device}' does not exist, there are {count}",
            fix=f"use cuda:0 to cuda:{count - 1}",
        )
    return device
