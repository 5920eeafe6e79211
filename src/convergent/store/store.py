"""Result stores: one zarr group in one zip file, published whole or not at all.

A store is written under a temporary name in the same directory and renamed, so that a
file with a store's name is always complete. Members carry a CRC-32 each (zip), and the group
lists its arrays: a flipped bit, a truncated file or a lost array is an error and no wrong number.
Equal content gives equal bytes.
"""

from __future__ import annotations

import os
import platform
import time
import zipfile
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convergent import __version__
from convergent.errors import StoreError
from convergent.store.archive import RERUN, Archive, named_errors
from convergent.store.on_disk import StoredArray
from convergent.store.request import StoreRequest
from convergent.store.zarr_format import (
    TEXT,
    WantedArrays,
    Writable,
    decode_group,
    decode_text,
    encode,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import xarray

Kind = Literal["stimuli", "responses", "features", "alignment", "cube", "maps"]

# zip's earliest time stamp: a constant, so that a rerun gives the same bytes
_EPOCH = (1980, 1, 1, 0, 0, 0)
_STALE_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Store:
    """Contents of a store.

    Attributes
    ----------
    path : str
    arrays : dict of str to ndarray
    dims : dict of str to tuple of str
        Axis names of each array.
    attrs : dict
        Kind, identity, keys and provenance.
    """

    path: str
    arrays: dict[str, np.ndarray]
    dims: dict[str, tuple[str, ...]]
    attrs: dict[str, Any]

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            raise StoreError(
                f"no array '{name}' (it has: {', '.join(sorted(self.arrays))})",
                where=self.path,
                fix=RERUN,
            )
        return self.arrays[name]


@contextmanager
def publish(path: str | Path) -> Iterator[Path]:
    """Give a temporary name; on success it becomes ``path`` in one step.

    Raises
    ------
    StoreError
        The disk or quota is full, or the directory can't be written; the temporary file
        is gone, and an earlier file of the same name is untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        _remove_stale(path)
    except OSError as error:
        raise StoreError(
            f"can't be written: {error.strerror or error}",
            where=str(path),
            fix="check free space, quota and permissions of the results directory",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    """Remove temporaries that writers killed at least a day ago left beside a file."""
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        if time.time() - stale.stat().st_mtime > _STALE_SECONDS:
            stale.unlink(missing_ok=True)


def write_store(
    path: str | Path,
    kind: Kind,
    arrays: Writable,
    attrs: Mapping[str, Any],
) -> None:
    """Write a store atomically, a chunk at a time.

    Parameters
    ----------
    path : str or Path
        ``*.zarr.zip``.
    kind : {"stimuli", "responses", "features", "alignment", "cube", "maps"}
    arrays : mapping of str to (dims, array)
        Axis names and values; numbers, booleans or strings. A `RowFile` is read as it is written
        and gives the same bytes as the array that it holds.
    attrs : mapping
        JSON-serialisable; ``kind`` and the writing software's versions are added.

    Raises
    ------
    StoreError
    """
    content = {"kind": kind, **attrs, "software": software()}
    with publish(path) as temporary:
        members = encode(arrays, content)
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(members):
                info = zipfile.ZipInfo(name, date_time=_EPOCH)
                info.external_attr = 0o644 << 16
                archive.writestr(info, members[name]())


def read_store(
    request: StoreRequest,
    *,
    lazy: Collection[str] = (),
    wanted: WantedArrays | None = None,
) -> Store:
    """Read a store and compare it with what was asked for.

    Parameters
    ----------
    request : StoreRequest
        The file, and what it must say of itself.
    lazy, wanted
        As of `open_store`.

    Raises
    ------
    StoreError
        Missing or damaged, or of another model, layer, data set, subject, settings or sources.
    """
    return _read(request.path, request.where, request.check, lazy, wanted)


def open_store(
    path: str | Path,
    kind: Kind,
    *,
    lazy: Collection[str] = (),
    wanted: WantedArrays | None = None,
) -> Store:
    """Read a store, whatever it was made from. For people: stages read with `read_store`.

    Parameters
    ----------
    path : str or Path
    kind : {"stimuli", "responses", "features", "alignment", "cube", "maps"}
        What the store must hold.
    lazy : collection of str
        Arrays that stay on disk: they come as `StoredArray`, whose chunks are checked when read.
    wanted : callable, optional
        ``wanted(name, dims)`` says of an array whether it is needed; others are neither read nor
        checked. All are by default.

    Raises
    ------
    StoreError
        Missing, truncated, corrupt (CRC-32), of another kind, or without an array or chunk.
    """
    return _read(str(path), str(path), partial(_check_kind, str(path), kind), lazy, wanted)


def _read(
    path: str,
    where: str,
    check: Callable[[Mapping[str, Any]], None],
    lazy: Collection[str],
    wanted: WantedArrays | None,
) -> Store:
    with named_errors(where), Archive(path) as archive:
        attrs, listed = decode_group(archive.members, archive.read)
        check(attrs)
        arrays: dict[str, Any] = {}
        dims: dict[str, tuple[str, ...]] = {}
        for stored, (axes, layout, text) in listed.items():
            name = stored if text is None else stored.removesuffix(TEXT)
            if wanted is not None and not wanted(name, axes):
                continue
            dims[name] = axes
            if text is not None:
                arrays[name] = decode_text(layout.all(archive.read), text)
            elif name in lazy:
                arrays[name] = StoredArray(path, name, layout)
            else:
                arrays[name] = layout.all(archive.read)
    return Store(path, arrays, dims, attrs)


def _check_kind(path: str, kind: str, attrs: Mapping[str, Any]) -> None:
    if attrs.get("kind") != kind:
        raise StoreError(f"it holds {attrs.get('kind')!r}, not {kind!r}", where=path, fix=RERUN)


@dataclass(frozen=True, slots=True)
class Inspected:
    """What a store says of itself.

    Attributes
    ----------
    attrs : dict
    fingerprint : str
        Of its content.
    """

    attrs: dict[str, Any]
    fingerprint: str


def inspect_store(path: str | Path, *, quick: bool = False) -> Inspected:
    """Check a store to its last byte, a chunk at a time; no array is kept.

    Parameters
    ----------
    path : str or Path
    quick : bool
        Read its description only: a truncated file is found, a flipped bit in a number is not.

    Raises
    ------
    StoreError
        Missing, truncated, damaged (CRC-32), or without an array or chunk.
    """
    with named_errors(str(path)), Archive(path) as archive:
        attrs, _ = decode_group(archive.members, archive.read)
        for name in () if quick else archive.members:
            archive.read(name)
        return Inspected(attrs, archive.fingerprint)


def open_dataset(path: str | Path) -> xarray.Dataset:
    """Open a store as an `xarray.Dataset`, for people.

    Nothing is read but names until values are asked for; ``.chunk()`` gives dask arrays.

    Parameters
    ----------
    path : str or Path
        ``*.zarr.zip``.

    Examples
    --------
    >>> from convergent.store import open_dataset
    >>> scores = open_dataset("results/demo/alignment/.../sim01.zarr.zip")  # doctest: +SKIP
    """
    import xarray
    from zarr.storage import ZipStore

    inspect_store(path, quick=True)  # zarr would leave out what is missing, or fill it with zeros
    lazy: xarray.Dataset = xarray.open_zarr(
        ZipStore(path, mode="r"), consolidated=False, chunks=None
    )
    text = {str(name): value for name, value in lazy.items() if str(name).endswith(TEXT)}
    decoded = {
        name: (value.attrs["dims"], decode_text(value.values, value.attrs["shape"]))
        for name, value in text.items()
    }
    return lazy.drop_vars(text).assign(
        {name.removesuffix(TEXT): value for name, value in decoded.items()}
    )


@cache
def software() -> dict[str, str]:
    """Versions of what computes and writes results."""
    names = ("torch", "numpy", "zarr", "transformers", "timm", "open_clip_torch", "scikit-learn")
    versions = {"convergent": __version__, "python": platform.python_version()}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions


def stamp() -> str:
    """Local time to the second, for reports (never for stores: reruns give the same bytes)."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
