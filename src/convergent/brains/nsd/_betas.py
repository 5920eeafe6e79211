"""One session's single-trial responses, in each format that NSD has.

Volumes are int16, 300 times the percent signal change, and 0 where a voxel has no valid data; so
are native surfaces. The fsaverage files are float32 percent signal change, and NaN where invalid.
Targets are counted as they lie in the file: vertices, or voxels with x running fastest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.brains.nsd._files import Format
from convergent.brains.nsd._image_files import open_image
from convergent.errors import DataError

SCALE = 300.0
_AGAIN = "download the session again"

Places = NDArray[np.intp]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Session:
    """An open file of betas.

    Attributes
    ----------
    path : Path
    shape : tuple of int
        Voxels (x, y, z), or (vertex,).
    trials : int
    read : callable
        Percent signal change of targets, from their increasing places; shape (trial, target).
    """

    path: Path
    shape: tuple[int, ...]
    trials: int
    read: Callable[[Places], Floats]


@contextmanager
def open_session(path: Path, suffix: Format, *, volume: bool) -> Iterator[Session]:
    """Open a session.

    Raises
    ------
    DataError
        Missing, damaged (also when it shows only as values are read), or of another type than
        NSD's.
    """
    opened = _hdf5 if suffix == "hdf5" else _nifti if suffix == "nii.gz" else _mgh
    try:
        with opened(path, volume) as session:
            yield session
    except (DataError, KeyboardInterrupt):
        raise
    except FileNotFoundError:
        raise DataError("the session is missing", where=str(path), fix=_AGAIN) from None
    except _damages() as error:
        raise DataError(
            f"the session is damaged ({type(error).__name__}: {error})",
            where=str(path),
            fix=_AGAIN,
        ) from None


def _damages() -> tuple[type[Exception], ...]:
    import zlib

    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError
    from nibabel.wrapstruct import WrapStructError

    nibabel = (ImageFileError, HeaderDataError, WrapStructError)
    return (OSError, EOFError, KeyError, ValueError, TypeError, zlib.error, *nibabel)


@contextmanager
def _hdf5(path: Path, volume: bool) -> Iterator[Session]:
    import h5py

    with h5py.File(path, "r") as file:
        betas = file["betas"]
        _check_type(betas.dtype, np.dtype(np.int16), path)
        if betas.ndim != (4 if volume else 2):
            raise ValueError(f"betas of shape {betas.shape}")
        reader = _read_volume if volume else _read_range
        # MATLAB's axes come reversed: (trial, z, y, x), or (trial, vertex)
        yield Session(
            path, betas.shape[:0:-1], betas.shape[0], lambda places: reader(betas, places) / SCALE
        )


def _read_range(betas: Any, places: Places) -> Floats:
    first = int(places[0])
    part = betas[:, first : int(places[-1]) + 1]
    return np.asarray(part[:, places - first], dtype=np.float32)


def _read_volume(betas: Any, places: Places) -> Floats:
    """Read plane by plane, each the smallest box around its voxels: chunks are single voxels."""
    _, _, height, width = betas.shape
    z, rest = np.divmod(places, height * width)
    y, x = np.divmod(rest, width)
    values = np.empty((betas.shape[0], places.size), dtype=np.float32)
    for plane in np.unique(z):
        here = z == plane
        top, left = int(y[here].min()), int(x[here].min())
        box = betas[:, int(plane), top : int(y[here].max()) + 1, left : int(x[here].max()) + 1]
        values[:, here] = box[:, y[here] - top, x[here] - left]
    return values


@contextmanager
def _nifti(path: Path, volume: bool) -> Iterator[Session]:
    with open_image(path) as image:
        _check_type(image.get_data_dtype().newbyteorder("="), np.dtype(np.int16), path)
        if len(image.shape) != 4 or not volume:
            raise ValueError(f"betas of shape {image.shape}")
        # compressed files have no other way than to be read whole
        whole = np.asarray(image.dataobj.get_unscaled())
    flat = whole.reshape(-1, whole.shape[3], order="F")
    yield Session(
        path,
        whole.shape[:3],
        whole.shape[3],
        lambda places: flat[places].T.astype(np.float32) / np.float32(SCALE),
    )


@contextmanager
def _mgh(path: Path, volume: bool) -> Iterator[Session]:
    with open_image(path) as image:
        _check_type(image.get_data_dtype().newbyteorder("="), np.dtype(np.float32), path)
        if len(image.shape) != 4 or image.shape[1:3] != (1, 1) or volume:
            raise ValueError(f"betas of shape {image.shape}")

        def read(places: Places) -> Floats:
            first = int(places[0])
            part = np.asarray(image.dataobj[first : int(places[-1]) + 1, 0, 0, :])
            return part[places - first].T.astype(np.float32)

        yield Session(path, (image.shape[0],), image.shape[3], read)


def _check_type(found: np.dtype[Any], expected: np.dtype[Any], path: Path) -> None:
    if found != expected:
        unit = "percent signal change" + (" times 300" if expected.kind == "i" else "")
        raise DataError(
            f"betas are {found}, and NSD's {expected} ({unit})",
            where=str(path),
            fix="use the file as NSD distributes it: the scale of another one is not known",
        )
