"""Arrays as files of the formats that NSD has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def to_int16(values: Floats) -> NDArray[np.int16]:
    """300 times the percent signal change, rounded."""
    return np.asarray(np.clip(np.rint(values * 300), -32768, 32767), dtype=np.int16)


def write_mgh(path: Path, values: NDArray[Any]) -> None:
    """Values (vertex,) or (vertex, trial) as MGH; compressed if the name says so."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (len(values), 1, 1, *values.shape[1:])
    nibabel.save(nibabel.MGHImage(values.reshape(shape), np.eye(4)), path)


def write_nifti(path: Path, values: NDArray[Any]) -> None:
    """A volume as compressed NIfTI of 1.8 mm voxels."""
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.8, 1.8, 1.8, 1.0])), path)


def write_hdf5(path: Path, name: str, values: NDArray[Any], chunks: tuple[int, ...] | None) -> None:
    """One array as HDF5."""
    import h5py

    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=values, chunks=chunks)


def write_mat(path: Path, content: Mapping[str, NDArray[Any]], version: str) -> None:
    """Variables as MATLAB's version 5 or 7.3 writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if version == "5":
        from scipy.io import savemat

        savemat(path, dict(content), do_compression=True)
        return
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        for name, values in content.items():
            file[name] = values.T
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
