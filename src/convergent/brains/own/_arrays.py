"""Responses as files have them: NumPy, zarr, NIfTI, GIFTI, CIFTI, FreeSurfer (mgh)."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas import quiet_nibabel
from convergent.errors import DataError
from convergent.names import location_error

_READABLE = (
    ".npy", ".npz", ".zarr", ".zarr.zip", ".nii", ".nii.gz", ".gii", ".gii.gz",
    ".dscalar.nii", ".dtseries.nii", ".mgh", ".mgz",
)  # fmt: skip


def open_values(path: Path, *, key: str | None, mask: Path | None, samples: int) -> Any:
    """Open a file of responses without reading more than it must.

    Parameters
    ----------
    path : Path
    key : str or None
        Array inside an .npz or zarr group.
    mask : Path or None
        Volume whose voxels that are not 0 are the targets, in the order of NumPy (C order).
    samples : {0, 1}
        Axis of the samples in arrays; images have theirs.

    Returns
    -------
    array, shape (sample, target)
        Sliced as ``[:, start:stop]``; NumPy and zarr arrays are read slice by slice.

    Raises
    ------
    DataError
        Missing, of another format or shape, or a mask that does not fit.
    """
    _require(path)
    check_gzip(path)
    volume = path.name.endswith((".nii", ".nii.gz")) and not _is_cifti(path)
    if mask is not None and not volume:
        raise DataError("a mask for what is no volume", where=str(path), fix="leave out the mask")
    try:
        if volume:
            return _volume(path, mask)
        values = _plain(path, key)
    except DataError:
        raise
    except Exception as error:  # what libraries raise on a broken file is theirs to choose
        raise DataError(f"cannot be read: {error}", where=str(path), fix="check it") from None
    if values.ndim != 2:
        raise DataError(
            f"array of shape {values.shape}",
            where=str(path),
            fix="give two axes, samples and targets",
        )
    if values.dtype.kind not in "iuf":
        raise DataError(f"values of type {values.dtype}", where=str(path), fix="give real numbers")
    return _Transposed(values) if samples == 1 and not _is_image(path) else values


def read_vector(path: Path, *, key: str | None, mask: Path | None) -> NDArray[np.float64]:
    """One number a target: an array of one axis, a volume, or a surface or CIFTI map."""
    _require(path)
    if path.suffix in (".npy", ".npz") or path.name.endswith((".zarr", ".zarr.zip")):
        try:
            values = np.asarray(_plain(path, key)[...], dtype=np.float64)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"cannot be read: {error}", where=str(path), fix="check it") from None
        if values.ndim != 1:
            raise DataError(f"array of shape {values.shape}", where=str(path), fix="give one axis")
        return values
    found = np.asarray(open_values(path, key=key, mask=mask, samples=0)[:, :], dtype=np.float64)
    if len(found) != 1:
        raise DataError(f"{len(found)} maps", where=str(path), fix="give one")
    vector: NDArray[np.float64] = found[0]
    return vector


def _require(path: Path) -> None:
    """Refuse what is neither a file nor a zarr folder: a named pipe would be waited for."""
    if location_error(str(path)) is not None or not path.exists():
        raise DataError("no such file", where=str(path), fix="check responses.files and subjects")
    if not path.is_file() and not (path.is_dir() and path.name.endswith(".zarr")):
        raise DataError("this is no file", where=str(path), fix="give the path of a file")


class _Transposed:
    """An array (target, sample), sliced as (sample, target)."""

    def __init__(self, values: Any) -> None:
        self._values = values
        self.shape, self.dtype, self.ndim = values.shape[::-1], values.dtype, 2

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        return np.asarray(self._values[key[1], key[0]]).T


def _plain(path: Path, key: str | None) -> Any:
    name = path.name
    if name.endswith(".npy"):
        return np.load(path, mmap_mode="r", allow_pickle=False)
    if name.endswith(".npz"):
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive[_key(path, key, list(archive))]
    if name.endswith((".zarr", ".zarr.zip")):
        return _zarr(path, key)
    if _is_cifti(path):
        import nibabel as nib

        with quiet_nibabel():
            return nib.load(path).dataobj
    if name.endswith((".gii", ".gii.gz")):
        return _gifti(path)
    if name.endswith((".mgh", ".mgz")):
        import nibabel as nib

        content = path.read_bytes()
        if name.endswith(".mgz"):
            content = gzip.decompress(content)
        image = np.asarray(nib.MGHImage.from_bytes(content).dataobj)
        return image.reshape(-1, image.shape[3] if image.ndim == 4 else 1, order="F").T
    raise DataError("unknown format", where=str(path), fix=f"give one of {', '.join(_READABLE)}")


def _key(path: Path, key: str | None, known: list[str]) -> str:
    if key is None and len(known) == 1:
        return known[0]
    if key not in known:
        raise DataError(
            f"no array '{key}'" if key else f"{len(known)} arrays",
            where=str(path),
            fix=f"set key to one of: {', '.join(sorted(known))}",
        )
    return key


def _zarr(path: Path, key: str | None) -> Any:
    import zarr

    store = zarr.storage.ZipStore(path, mode="r") if path.name.endswith(".zip") else path
    opened = zarr.open(store, mode="r")
    if not isinstance(opened, zarr.Array):
        opened = opened[_key(path, key, sorted(opened.array_keys()))]
    there, count = opened.nchunks_initialized, opened.nchunks
    if there < count:  # zarr would give the fill value: a zero that nobody measured
        raise DataError(
            f"{there} of {count} chunks are there",
            where=str(path),
            fix="copy it again, or write it with zarr's write_empty_chunks=True",
        )
    return opened


def check_gzip(path: Path) -> None:
    """Read a compressed file to its end, where its checksum is; parts of it are not checked.

    Raises
    ------
    DataError
        The file is damaged or truncated.
    """
    if path.suffix not in (".gz", ".mgz") or not path.is_file():
        return
    try:
        with gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"the compressed file is damaged ({error})", where=str(path), fix="copy it again"
        ) from None


def _gifti(path: Path) -> np.ndarray:
    import nibabel as nib

    arrays = [item.data for item in nib.load(path).darrays]
    if not arrays or len({array.shape for array in arrays}) != 1:
        raise DataError("maps of several lengths", where=str(path), fix="give one map a sample")
    if arrays[0].ndim == 2 and len(arrays) == 1:  # one matrix (vertex, sample)
        return np.asarray(arrays[0]).T
    return np.stack(arrays)


def _volume(path: Path, mask: Path | None) -> NDArray[np.float32]:
    """Masked voxels of a NIfTI, one volume at a time."""
    import nibabel as nib

    image = nib.load(path)
    shape = image.shape if len(image.shape) == 4 else (*image.shape, 1)
    inside = np.ones(shape[:3], dtype=bool)
    if mask is not None:
        drawn = open_mask(mask)
        inside = np.asarray(drawn.dataobj) != 0
        if inside.shape != shape[:3] or not np.allclose(drawn.affine, image.affine, atol=1e-3):
            raise DataError(
                f"mask {mask.name} of shape {inside.shape} is on another grid than the responses "
                f"{shape[:3]}",
                where=str(path),
                fix="resample the mask to the responses",
            )
    values = np.empty((shape[3], int(inside.sum())), dtype=np.float32)
    for number in range(shape[3]):
        volume = image.dataobj[..., number] if len(image.shape) == 4 else image.dataobj
        values[number] = np.asarray(volume, dtype=np.float32)[inside]
    return values


def open_mask(path: Path) -> Any:
    """Open a mask or label volume of three axes."""
    import nibabel as nib

    _require(path)
    check_gzip(path)
    try:
        image = nib.load(path)
    except Exception as error:
        raise DataError(f"cannot be read: {error}", where=str(path), fix="check it") from None
    if len(image.shape) != 3:
        raise DataError(f"volume of shape {image.shape}", where=str(path), fix="give three axes")
    return image


def _is_cifti(path: Path) -> bool:
    return path.name.endswith((".dscalar.nii", ".dtseries.nii", ".dlabel.nii"))


def _is_image(path: Path) -> bool:
    return _is_cifti(path) or path.name.endswith((".gii", ".gii.gz", ".mgh", ".mgz"))
