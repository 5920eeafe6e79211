"""Where the linear algebra runs: never a device other than the one asked for."""

from __future__ import annotations

import torch

from convergent.errors import ConfigError, DeviceError

DTYPES = {"float32": torch.float32, "float64": torch.float64}


def resolve_device(name: str) -> torch.device:
    """Turn a device name into a device that exists here.

    Parameters
    ----------
    name : str
        ``cpu``, ``cuda`` or ``cuda:<index>``.

    Returns
    -------
    torch.device

    Raises
    ------
    DeviceError
        The name is not a device, or the device is not present. There is no fallback to the
        CPU: a study that asked for a GPU must not run on something else without saying so.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise DeviceError(
            f"'{name}' is not a device", fix="use cpu, cuda or cuda:<index>"
        ) from None
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise DeviceError(
            f"device type '{device.type}' is not supported", fix="use cpu, cuda or cuda:<index>"
        )
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count <= (device.index or 0):
        raise DeviceError(
            f"device '{name}' was asked for but {count} CUDA devices are present",
            fix="set device: cpu, or request a GPU for this job",
        )
    return device


def resolve_dtype(name: str) -> torch.dtype:
    """Turn ``float32`` or ``float64`` into a torch dtype.

    Raises
    ------
    ConfigError
        Any other name.
    """
    if name not in DTYPES:
        raise ConfigError(f"dtype '{name}' is not supported", fix="use float32 or float64")
    return DTYPES[name]
