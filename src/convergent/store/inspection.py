"""One file of a study: whether it can be read, every byte of it, and what it says of itself."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from convergent.errors import StoreError
from convergent.store import fingerprint
from convergent.store.zarr_format import decode

_PART = 1 << 20
_MEND = "delete it and rerun its rule"


@dataclass(frozen=True, slots=True)
class Seen:
    """What a store says of itself.

    Attributes
    ----------
    attrs : dict
    fingerprint : str
        Of its content.
    """

    attrs: dict[str, Any]
    fingerprint: str


def see(path: str, kind: str, *, quick: bool = False) -> Seen:
    """Read a store to its last byte, a part at a time.

    Parameters
    ----------
    path : str
    kind : str
        What it must hold.
    quick : bool
        Read its description only: a truncated file is found, a flipped bit in a number is not.

    Raises
    ------
    StoreError
        Missing, truncated, damaged (CRC-32), without a chunk, or of another kind.
    """
    try:
        with Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            # arrays of numbers are not decoded, but that none of their chunks is missing is checked
            _, _, attrs = decode(names, archive.read, lambda name, layout: layout)
            if not quick:
                for name in names:
                    with archive.open(name) as member:
                        while member.read(_PART):
                            pass
    except FileNotFoundError:
        raise StoreError("the store is missing", where=path, fix="run its rule") from None
    except (
        zipfile.BadZipFile,
        EOFError,
        OSError,
        KeyError,
        ValueError,
        NotImplementedError,
    ) as error:
        raise StoreError(f"the store is damaged ({error})", where=path, fix=_MEND) from None
    if attrs.get("kind") != kind:
        raise StoreError(f"holds {attrs.get('kind')!r}, not '{kind}'", where=path, fix=_MEND)
    return Seen(attrs, fingerprint(path))


def see_table(path: str, *, quick: bool = False) -> dict[str, Any]:
    """Read a table or record: Parquet, JSON or text.

    Parameters
    ----------
    path : str
    quick : bool
        Of Parquet, the description only.

    Returns
    -------
    dict
        What a JSON record holds; empty for tables.

    Raises
    ------
    StoreError
        It cannot be read.
    """
    try:
        if path.endswith(".parquet"):
            _see_parquet(path, quick)
            return {}
        text = Path(path).read_text(encoding="utf-8")
        if path.endswith(".json"):
            record = json.loads(text)
            if not isinstance(record, dict):
                raise ValueError("no record")
            return record
        lines = text.splitlines()
        if not lines or len({line.count("\t") for line in lines}) != 1:
            raise ValueError("its rows are not of one length")
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise StoreError(f"the file cannot be read ({said})", where=path, fix=_MEND) from None
    return {}


def _see_parquet(path: str, quick: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            for _ in () if quick else table.iter_batches(batch_size=1 << 16):
                pass
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None
