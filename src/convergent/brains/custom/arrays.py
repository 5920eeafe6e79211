"""Responses as files have them: NumPy, zarr, NIfTI, GIFTI, CIFTI, FreeSurfer (mgh)."""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from convergent.brains.atlas import quiet_nibabel
from convergent.brains.custom.config import OwnConfig, fill, found, hemispheres, side_of_name
from convergent.brains.custom.stimuli import Text, column, read_list, read_table
from convergent.errors import ConvergentError, DataError, IdError
from convergent.names import location_error

_READABLE = (
    ".npy", ".npz", ".zarr", ".zarr.zip", ".nii", ".nii.gz", ".gii", ".gii.gz",
    ".dscalar.nii", ".dtseries.nii", ".pscalar.nii", ".ptseries.nii", ".mgh", ".mgz",
)  # fmt: skip
_CIFTI_INTENTS = range(3000, 3100)  # codes that NIfTI 2 sets aside for CIFTI
Inside = Literal["positive"] | tuple[int, ...] | None


def open_values(
    path: Path, *, key: str | None, mask: Path | None, samples: int, inside: Inside = None
) -> Any:
    """Open a file of responses without reading more than it must.

    What has a checksum (gzip, zip) is compared with it as it is read; NumPy's .npy, zarr folders
    and uncompressed images have none, and only their sizes are checked.

    Parameters
    ----------
    path : Path
    key : str or None
        Array inside an .npz or zarr group.
    mask : Path or None
        Volume whose voxels inside are the targets, in the order of NumPy (C order).
    samples : {0, 1}
        Axis of the samples in arrays; images have theirs.
    inside : {"positive"}, tuple of int or None
        Values of the mask; None for a mask of 0 and 1.

    Returns
    -------
    array, shape (sample, target)
        Sliced as ``[:, start:stop]``; NumPy and zarr arrays are read slice by slice.

    Raises
    ------
    DataError
        Missing, damaged, of another format, shape or type, or a mask that does not fit.
    """
    _require(path)
    with _told(path):
        volume = is_volume(path)
        if mask is not None and not volume:
            raise DataError(
                "a mask for what is no volume", where=str(path), fix="leave out the mask"
            )
        if volume:
            return _volume(path, mask, inside)
        values = _plain(path, key)
        if len(values.shape) != 2:
            raise DataError(
                f"array of shape {values.shape}",
                where=str(path),
                fix="give two axes, samples and targets",
            )
        _check_real(values.dtype, path)
        if isinstance(values, _Lazy):
            return values
        return _Lazy(values, path, samples == 1 and not _is_image(path))


def read_vector(
    path: Path, *, key: str | None, mask: Path | None, inside: Inside = None
) -> NDArray[np.float64]:
    """One number a target: an array of one axis, a volume, or a surface or CIFTI map."""
    _require(path)
    if path.suffix in (".npy", ".npz") or path.name.endswith((".zarr", ".zarr.zip")):
        with _told(path):
            stored = _plain(path, key)
            _check_real(stored.dtype, path)
            values = np.asarray(stored[...], dtype=np.float64)
        if values.ndim != 1:
            raise DataError(f"array of shape {values.shape}", where=str(path), fix="give one axis")
        return values
    opened = open_values(path, key=key, mask=mask, samples=0, inside=inside)
    maps = np.asarray(opened[:, :], dtype=np.float64)
    if len(maps) != 1:
        raise DataError(f"{len(maps)} maps", where=str(path), fix="give one")
    vector: NDArray[np.float64] = maps[0]
    return vector


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """One line for whatever libraries raise on a broken file, which is theirs to choose."""
    try:
        yield
    except ConvergentError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise DataError(
            f"the compressed file is damaged ({error})", where=str(path), fix="copy it again"
        ) from None
    except Exception as error:
        if re.search("pickle|python objects|object arrays", str(error), re.IGNORECASE):
            raise DataError(
                "it holds Python objects, which are not read: they may run any program",
                where=str(path),
                fix="save the array of numbers alone, with numpy.save",
            ) from None
        raise DataError(
            f"cannot be read: {str(error) or type(error).__name__}",
            where=str(path),
            fix="check it, or copy it again",
        ) from None


def _check_real(dtype: np.dtype[Any], path: Path) -> None:
    if dtype.kind not in "iuf":
        raise DataError(f"values of type {dtype}", where=str(path), fix="give real numbers")


def _require(path: Path) -> None:
    """Refuse what is neither a file nor a zarr folder: a named pipe would be waited for."""
    if location_error(str(path)) is not None or not path.exists():
        raise DataError("no such file", where=str(path), fix="check responses.files and subjects")
    if not path.is_file() and not (path.is_dir() and path.name.endswith(".zarr")):
        raise DataError("this is no file", where=str(path), fix="give the path of a file")


class _Lazy:
    """An array of two axes that is read slice by slice, as (sample, target).

    Parameters
    ----------
    values : array
        Of NumPy, zarr or nibabel, sliced as ``[a:b, c:d]``.
    path : Path
        For messages: damage shows only as a slice is read.
    turned : bool
        Whether the values are (target, sample).
    """

    ndim = 2

    def __init__(self, values: Any, path: Path, turned: bool) -> None:
        self._values, self._path, self._turned = values, path, turned
        shape = tuple(values.shape)
        self.shape, self.dtype = shape[::-1] if turned else shape, values.dtype

    def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
        with _told(self._path):
            part = np.asarray(self._values[key[::-1] if self._turned else key])
        return part.T if self._turned else part


def _plain(path: Path, key: str | None) -> Any:
    name = path.name
    if name.endswith(".npy"):
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        said, there = values.offset + values.nbytes, path.stat().st_size
        if said != there:
            raise DataError(
                f"the file has {there} bytes, its array {said}",
                where=str(path),
                fix="save it again",
            )
        return values
    if name.endswith(".npz"):
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive[_key(path, key, list(archive))]
    if name.endswith((".zarr", ".zarr.zip")):
        return _zarr(path, key)
    if name.endswith((".nii", ".nii.gz")):
        return _cifti(path)
    if name.endswith((".gii", ".gii.gz")):
        return _gifti(path)
    if name.endswith((".mgh", ".mgz")):
        stored = _loaded(path)
        _check_real(stored.get_data_dtype(), path)
        image = np.asarray(stored.dataobj)
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


@contextmanager
def open_image(path: Path) -> Iterator[Any]:
    """Open a volume or surface (``.nii``, ``.nii.gz``, ``.mgh``, ``.mgz``) to read it once.

    A compressed file is read in order and to its end, where its checksum is: nibabel alone reads
    pieces and never gets there.

    Yields
    ------
    nibabel.Nifti1Image, nibabel.MGHImage or another class of nibabel
        Its values are read while it is open.

    Raises
    ------
    OSError, EOFError, zlib.error
        At the end, where a compressed file is damaged or truncated.
    """
    import nibabel as nib

    surface, compressed = path.suffix in (".mgh", ".mgz"), path.suffix in (".gz", ".mgz")
    if not surface:
        with quiet_nibabel():
            image = nib.load(path)
    if not (surface or compressed):
        yield image
        return
    kind = nib.MGHImage if surface else type(image)  # nibabel leaves files of MGH open
    with ExitStack() as files:
        stream: Any = files.enter_context(path.open("rb"))
        if compressed:
            stream = files.enter_context(gzip.GzipFile(fileobj=stream))
        yield kind.from_stream(stream)
        while compressed and stream.read(1 << 20):
            pass


def _loaded(path: Path) -> Any:
    """An image of a surface or of CIFTI, by nibabel; compressed ones as a whole."""
    import nibabel as nib

    compressed = path.suffix in (".gz", ".mgz")
    with quiet_nibabel():
        if not compressed and path.suffix != ".mgh":
            return nib.load(path)
        content = path.read_bytes()
        kinds = {".gii.gz": nib.GiftiImage, ".nii.gz": nib.Cifti2Image}
        kind = next((k for end, k in kinds.items() if path.name.endswith(end)), nib.MGHImage)
        return kind.from_bytes(gzip.decompress(content) if compressed else content)


def _gifti(path: Path) -> np.ndarray:
    arrays = [item.data for item in _loaded(path).darrays]
    if not arrays or len({array.shape for array in arrays}) != 1:
        raise DataError("maps of several lengths", where=str(path), fix="give one map a sample")
    for array in arrays:
        _check_real(array.dtype, path)
    if arrays[0].ndim == 2 and len(arrays) == 1:  # one matrix (vertex, sample)
        return np.asarray(arrays[0]).T
    return np.stack(arrays)


@dataclass(frozen=True)
class Structure:
    """Targets in a row that lie in one structure of the brain.

    Attributes
    ----------
    side : {"L", "R", ""}
    cortex : bool
    size : int
        Targets.
    vertices : ndarray of int, shape (target,), or None
        As a CIFTI file numbers them.
    said : str
        Where the side is from, for messages.
    """

    side: str
    cortex: bool
    size: int
    vertices: NDArray[np.int64] | None
    said: str


_PRIMARY = re.compile(
    rb"AnatomicalStructurePrimary\s*(?:\]\]>)?\s*</Name>\s*<Value>\s*(?:<!\[CDATA\[)?\s*(\w+)"
)


def structures(path: Path, named: str, size: int) -> list[Structure]:
    """Structures of a file's targets, as the file has them or else its name.

    Parameters
    ----------
    path : Path
    named : {"L", "R", ""}
        Hemisphere that the name says.
    size : int
        Targets of the file.

    Raises
    ------
    DataError
        The file says another hemisphere than its name, or a GIFTI file several.
    """
    if _is_cifti(path):
        said = _brain_models(path)
    elif path.name.endswith((".gii", ".gii.gz")):
        said = _anatomical(path, size)
    else:
        said = []
    wrong = [one for one in said if named and one.side and one.side != named]
    if wrong:
        raise DataError(
            f"{wrong[0].said}, the name says hemisphere {named}",
            where=str(path),
            fix="find out which is right, and mend the name or the file",
        )
    return said or [Structure(named, True, size, None, f"{path.name} says {named or 'no side'}")]


def _brain_models(path: Path) -> list[Structure]:
    import nibabel as nib

    with _told(path):
        axes = [
            axis for axis in _axes(_loaded(path)) if isinstance(axis, nib.cifti2.BrainModelAxis)
        ]
    if not axes:
        return []
    axis = axes[0]
    found = []
    for name, part, model in axis.iter_structures():
        bare = name.removeprefix("CIFTI_STRUCTURE_")
        side = "L" if bare.endswith("_LEFT") else "R" if bare.endswith("_RIGHT") else ""
        start, stop, _ = part.indices(len(axis))
        said = f"targets {start} to {stop - 1} are of {name}"
        cortex = bare in ("CORTEX_LEFT", "CORTEX_RIGHT")
        found.append(Structure(side, cortex, stop - start, np.asarray(model.vertex), said))
    return found


def _anatomical(path: Path, size: int) -> list[Structure]:
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    said = {word.decode() for word in _PRIMARY.findall(raw)}
    if len(said) > 1:
        raise DataError(
            f"maps of several structures: {', '.join(sorted(said))}",
            where=str(path),
            fix="give a file of one hemisphere, with {hemi} in responses.files",
        )
    word = said.pop() if said else ""
    side = {"cortexleft": "L", "cortexright": "R"}.get(word.lower().replace("_", ""), "")
    if not side:
        return []
    return [Structure(side, True, size, None, f"its AnatomicalStructurePrimary is {word}")]


def _cifti(path: Path) -> Any:
    """Values (sample, grayordinate or parcel) of a CIFTI file, whichever axis comes first."""
    image = _loaded(path)
    axes = [type(axis).__name__.removesuffix("Axis") for axis in _axes(image)]
    order = ["samples" if name in ("Scalar", "Series") else name for name in axes]
    order = ["targets" if name in ("BrainModel", "Parcels") else name for name in order]
    _check_real(image.get_data_dtype(), path)
    if order == ["samples", "targets"]:
        return _Lazy(image.dataobj, path, turned=False)
    if order == ["targets", "samples"]:
        return _Lazy(image.dataobj, path, turned=True)
    raise DataError(
        f"a CIFTI file of the axes {' and '.join(axes)}",
        where=str(path),
        fix="give maps or time points of grayordinates or parcels (dscalar, dtseries, pscalar, "
        "ptseries)",
    )


def _axes(image: Any) -> list[Any]:
    return [image.header.get_axis(number) for number in range(len(image.shape))]


def names_of_targets(path: Path) -> Text:
    """Names of a CIFTI file's parcels, or of the labels of the first map of a ``.dlabel.nii``.

    Raises
    ------
    DataError
        Damaged, or neither of the two.
    """
    _require(path)
    with _told(path):
        image = _loaded(path)
        for axis in _axes(image):
            if hasattr(axis, "label"):
                keys = np.rint(np.asarray(image.dataobj)[0]).astype(np.int64)
                known = {key: name for key, (name, _) in axis.label[0].items()}
                found = [known.get(key, f"label{key}") for key in keys.tolist()]
                return np.array(["" if name == "???" else name for name in found], dtype=np.str_)
        for axis in _axes(image):
            if type(axis).__name__ == "ParcelsAxis":
                return np.array(axis.name, dtype=np.str_)
    raise DataError(
        "grayordinates have no names",
        where=str(path),
        fix="give a file of parcels (ptseries, pscalar) or labels (dlabel), or regions.atlas",
    )


def response_volumes(config: OwnConfig, folder: Path, subject: str) -> list[tuple[Path, Any]]:
    """Volumes of a subject's runs, of which no values are read; empty where they are none.

    Raises
    ------
    DataError
        Missing, not readable, or runs on other grids than the first.
    """
    import nibabel as nib

    said = config.responses.files
    if "{hemi}" in said:
        return []
    runs = found(folder, said, "run", subject=subject) if "{run}" in said else [""]
    opened: list[tuple[Path, Any]] = []
    for run in runs:
        path = fill(folder, said.replace("{run}", run), subject=subject)
        _require(path)
        with _told(path):
            if not is_volume(path):
                return []
            image = nib.load(path)
        opened.append((path, image))
        if not same_grid(image, opened[0][1]):
            raise DataError(
                f"voxels lie elsewhere than those of {opened[0][0].name}"
                + mirrored(image, opened[0][1]),
                where=str(path),
                fix="resample the runs to one grid",
            )
    return opened


def same_grid(image: Any, other: Any) -> bool:
    """Whether two volumes have the same voxels at the same places."""
    return tuple(image.shape[:3]) == tuple(other.shape[:3]) and np.allclose(
        image.affine, other.affine, atol=1e-3
    )


def mirrored(image: Any, other: Any) -> str:
    """What to add of two grids, one of which runs from left to right and one from right to left."""
    hands = [np.linalg.det(one.affine[:3, :3]) for one in (image, other)]
    return ": one is mirrored" if hands[0] * hands[1] < 0 else ""


def open_mask(path: Path) -> Any:
    """Read a mask or label volume of three axes.

    Returns
    -------
    nibabel image
        Its values are in memory.

    Raises
    ------
    DataError
        Missing, damaged, of other axes or of another type than real numbers.
    """
    _require(path)
    with _told(path), open_image(path) as image:
        if len(image.shape) != 3:
            raise DataError(
                f"volume of shape {image.shape}", where=str(path), fix="give three axes"
            )
        _check_real(image.get_data_dtype(), path)
        return type(image)(np.asarray(image.dataobj), image.affine, image.header)


def read_mask(path: Path, inside: Inside = None) -> tuple[NDArray[np.bool_], Any]:
    """Read which voxels are targets.

    Parameters
    ----------
    path : Path
    inside : {"positive"}, tuple of int or None
        Values of the voxels inside. None: 1, where all others are 0 or NaN.

    Returns
    -------
    chosen : ndarray of bool, shape (x, y, z)
    mask : nibabel image

    Raises
    ------
    DataError
        As `open_mask`, values that nothing says the meaning of, or nothing inside.
    """
    mask = open_mask(path)
    values = np.asarray(mask.dataobj)
    there = np.unique(values[np.isfinite(values)])
    few = ", ".join(f"{value:g}" for value in there[:6].tolist()) + (", ..." * (there.size > 6))
    if inside is None:
        if not np.isin(there, (0, 1)).all():
            raise DataError(
                f"a mask of the values {few}",
                where=str(path),
                fix="say which are inside: responses.inside: [1, 2], or positive",
            )
        chosen = values == 1
    elif inside == "positive":
        chosen = values > 0
    else:
        unknown = sorted(set(inside) - set(there.tolist()))
        if unknown:
            raise DataError(
                f"responses.inside has {unknown[0]}, the mask has the values {few}",
                where=str(path),
                fix="give values that it has",
            )
        chosen = np.isin(values, inside)
    if not chosen.any():
        raise DataError(
            f"no voxel is inside the mask of the values {few}",
            where=str(path),
            fix="see responses.inside",
        )
    return chosen, mask


def _volume(path: Path, mask: Path | None, inside: Inside) -> NDArray[np.float32]:
    """Masked voxels of a NIfTI, one volume at a time."""
    with open_image(path) as image:
        shape = image.shape
        if len(shape) == 5 and shape[3] == 1:  # as SPM and ANTs write vectors
            pick: tuple[Any, ...] = (..., 0)
            count = shape[4]
        elif len(shape) in (3, 4):
            pick, count = (...,), shape[3] if len(shape) == 4 else 1
        else:
            raise DataError(
                f"volume of shape {shape}",
                where=str(path),
                fix="give three axes, and the samples as the fourth",
            )
        _check_real(image.get_data_dtype(), path)
        chosen = np.ones(shape[:3], dtype=bool)
        if mask is not None:
            chosen, drawn = read_mask(mask, inside)
            if not same_grid(drawn, image):
                raise DataError(
                    f"mask {mask.name} of shape {drawn.shape} is on another grid than the "
                    f"responses {shape[:3]}" + mirrored(drawn, image),
                    where=str(path),
                    fix="resample the mask to the responses",
                )
        values = np.empty((count, int(chosen.sum())), dtype=np.float32)
        for number in range(count):
            place = (*pick, number) if len(shape) > 3 else pick
            values[number] = np.asarray(image.dataobj[place], dtype=np.float32)[chosen]
    return values


def is_volume(path: Path) -> bool:
    """Whether a file is a NIfTI volume, and not CIFTI, whatever its name has in the middle."""
    return path.name.endswith((".nii", ".nii.gz")) and not _is_cifti(path)


def _is_cifti(path: Path) -> bool:
    """Whether a NIfTI file is one of CIFTI, by its header."""
    if not path.name.endswith((".nii", ".nii.gz")):
        return False
    import nibabel as nib

    with quiet_nibabel():
        image = nib.load(path)
    if isinstance(image, nib.Cifti2Image):
        return True
    # nibabel takes a compressed one for a volume of six axes
    return int(image.header["intent_code"]) in _CIFTI_INTENTS


def _is_image(path: Path) -> bool:
    return path.name.endswith((".nii", ".nii.gz", ".gii", ".gii.gz", ".mgh", ".mgz"))


BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Samples:
    """Opened files of a subject.

    Attributes
    ----------
    runs : list of list of array
        Runs, and of each the files of its hemispheres, (sample, target).
    ids : ndarray of str, shape (sample,), or None
        Stimulus of each sample (items).
    session : ndarray of str, shape (sample,)
    where : str
    structures : list of Structure
        Of the targets, in their order.
    """

    runs: list[list[Any]]
    ids: Text | None
    session: Text
    where: str
    structures: list[Structure]

    @property
    def shape(self) -> tuple[int, int]:
        """Samples and targets."""
        widths = [sum(part.shape[1] for part in run) for run in self.runs]
        return sum(run[0].shape[0] for run in self.runs), widths[0]

    def targets(self, start: int, stop: int) -> np.ndarray:
        """Read targets ``start`` to ``stop`` of all samples, as float64.

        Raises
        ------
        DataError
            A sample has no value at all: nothing was measured there.
        """
        block = np.concatenate([_columns(run, start, stop) for run in self.runs])
        if start == 0:
            empty = np.flatnonzero(~np.isfinite(block).any(axis=1))
            while empty.size and stop < self.shape[1]:
                start, stop = stop, 2 * stop
                more = np.concatenate([_columns(run, start, stop) for run in self.runs])
                empty = empty[~np.isfinite(more[empty]).any(axis=1)]
            if empty.size:
                raise self._unmeasured(empty)
        return block

    def _unmeasured(self, empty: np.ndarray) -> DataError:
        first, place = int(empty[0]), 0
        while len(self.runs) > 1 and first >= self.runs[place][0].shape[0]:
            first -= self.runs[place][0].shape[0]
            place += 1
        of = f" of run {place + 1} (of {len(self.runs)})" if len(self.runs) > 1 else ""
        stimulus = "" if self.ids is None else f", stimulus '{self.ids[empty[0]]}'"
        return DataError(
            f"{empty.size} samples have no value in any target, such as sample {first + 1}{of}"
            f"{stimulus}",
            where=self.where,
            fix="give their values: the volumes of a story cannot be left out"
            if self.ids is None
            else "leave them out of the responses and of responses.ids",
        )

    def blocks(self) -> list[tuple[int, int]]:
        """Ranges of targets that are read together."""
        samples, targets = self.shape
        step = max(1, BLOCK_BYTES // (8 * max(samples, 1)))
        return [(start, min(start + step, targets)) for start in range(0, targets, step)]


def _columns(parts: list[Any], start: int, stop: int) -> np.ndarray:
    pieces, offset = [], 0
    for part in parts:
        low, high = max(start - offset, 0), min(stop - offset, part.shape[1])
        if low < high:
            pieces.append(np.asarray(part[:, low:high], dtype=np.float64))
        offset += part.shape[1]
    return np.concatenate(pieces, axis=1)


def open_samples(config: OwnConfig, folder: Path, subject: str) -> Samples:
    """Open a subject's files and join each with its ids.

    Raises
    ------
    DataError
        A file is missing, or the files do not fit each other.
    IdError
        Another number of ids than samples.
    """
    said = config.responses
    where = f"{folder / said.files}, subject '{subject}'"
    runs = found(folder, said.files, "run", subject=subject) if "{run}" in said.files else [""]
    if not runs:
        raise DataError("no file of any run", where=where, fix="check responses.files")
    response_volumes(config, folder, subject)
    opened: list[list[Any]] = []
    places: list[list[Structure]] = []
    ids: list[Text] = []
    session: list[Text] = []
    for run in runs:
        parts, lying = _open_run(config, folder, subject, run)
        opened.append(parts)
        places.append(lying)
        samples = opened[-1][0].shape[0]
        answered, sessions = _ids(config, folder, subject, run)
        if answered is not None and answered.size != samples:
            raise IdError(
                f"{answered.size} ids for {samples} samples" + (f" of run {run}" if run else ""),
                where=where,
                fix="give one row of responses.ids a sample, or set responses.samples: 1 where "
                "targets come first",
            )
        ids += [] if answered is None else [answered]
        session.append(np.full(samples, run) if sessions is None else sessions)
    widths = {sum(part.shape[1] for part in run) for run in opened}
    if len(widths) > 1:
        raise DataError(f"runs of {sorted(widths)} targets", where=where, fix="use one mask")
    for run, lying in zip(runs, places, strict=True):
        if [(one.side, one.size) for one in lying] != [(one.side, one.size) for one in places[0]]:
            raise DataError(
                f"run {run} has its structures in another order than run {runs[0]}",
                where=where,
                fix="give all runs the same targets in the same order",
            )
    response_volumes(config, folder, subject)
    answers = np.concatenate(ids) if ids else None
    return Samples(opened, answers, np.concatenate(session), where, places[0])


def _open_run(
    config: OwnConfig, folder: Path, subject: str, run: str
) -> tuple[list[Any], list[Structure]]:
    said = config.responses
    pattern = said.files.replace("{run}", run)
    sides = hemispheres(folder, pattern, subject) if "{hemi}" in pattern else ("",)
    mask = None if said.mask is None else fill(folder, said.mask, subject=subject)
    paths = [fill(folder, pattern, subject=subject, hemi=side) for side in sides]
    parts = [
        open_values(path, key=said.key, mask=mask, samples=said.samples, inside=said.inside)
        for path in paths
    ]
    counts = {part.shape[0] for part in parts}
    if len(counts) > 1:
        raise DataError(
            f"hemispheres of {' and '.join(str(part.shape[0]) for part in parts)} samples",
            where=f"{folder / pattern}, subject '{subject}'",
            fix="give both hemispheres of the same samples",
        )
    if len(parts) == 2 and _same(*parts):
        raise DataError(
            f"{paths[0].name} and {paths[1].name} hold the same responses",
            where=f"{folder / pattern}, subject '{subject}'",
            fix="one is a copy: give each hemisphere's own",
        )
    lying = [
        structure
        for path, side, part in zip(paths, sides, parts, strict=True)
        for structure in structures(path, side_of_name(pattern, side), part.shape[1])
    ]
    return parts, lying


def _same(left: Any, right: Any) -> bool:
    """Whether two arrays are equal, and not constant, as far as some of their targets tell."""
    if left.shape != right.shape:
        return False
    stop = min(left.shape[1], 64)
    some = np.asarray(left[:, :stop])
    finite = some[np.isfinite(some)]
    differ = finite.size and finite.max() > finite.min()
    return bool(differ) and np.array_equal(some, np.asarray(right[:, :stop]), equal_nan=True)


def _ids(
    config: OwnConfig, folder: Path, subject: str, run: str
) -> tuple[Text | None, Text | None]:
    said = config.responses
    if said.ids is None:
        return None, None
    path = fill(folder, said.ids, subject=subject, run=run)
    if said.session is None:
        return read_list(path, said.id, "responses.id"), None
    table = read_table(path)
    return (
        column(table, said.id, path, "responses.id"),
        column(table, said.session, path, "responses.session"),
    )


def averaged(block: np.ndarray, member: np.ndarray, repeats: np.ndarray) -> np.ndarray:
    """Mean over the samples of each item, in order of the items."""
    order = np.argsort(member, kind="stable")
    first = np.concatenate([[0], np.cumsum(repeats)[:-1]])
    means: np.ndarray = np.add.reduceat(block[order], first, axis=0) / repeats[:, None]
    return means


def standardised(block: np.ndarray, session: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance in each session; what is constant in one becomes 0 there."""
    scaled = np.empty_like(block)
    for name in np.unique(session):
        rows = np.flatnonzero(session == name)
        part = block[rows] - block[rows].mean(axis=0)
        sd = block[rows].std(axis=0, ddof=1 if rows.size > 1 else 0)
        flat = block[rows].max(axis=0) == block[rows].min(axis=0)
        scaled[rows] = np.where(flat, 0.0, part / np.where(flat | (sd == 0), 1.0, sd))
    return scaled


def wanted_targets(block: np.ndarray, drop: tuple[str, ...]) -> np.ndarray:
    """Targets that stay: by name, those with missing values and constant ones may be dropped."""
    wanted = np.ones(block.shape[1], dtype=bool)
    finite = np.isfinite(block).all(axis=0)
    if "missing" in drop:
        wanted &= finite
    if "constant" in drop:
        wanted &= ~finite | (block.max(axis=0) > block.min(axis=0))
    return wanted
