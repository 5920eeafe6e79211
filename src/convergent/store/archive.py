"""The zip file of a store. Nothing of it is used before it was checked.

A zip file describes its members twice: in a directory at its end, and in a header before each
member. Both must agree, and the bytes of a member must have its CRC-32: a bit that has changed
anywhere gives an error, or changes nothing that is read.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from convergent.errors import StoreError

RERUN = "delete it and rerun its rule"
# Small stores are read at once; of large ones no second copy is made.
_AT_ONCE = 1 << 20
# Signature, version, flags, method, time, date, CRC-32, sizes, lengths of name and extra field.
_HEADER = struct.Struct("<4s5H3L2H")
_UTF8 = 0x800  # flag of a member whose name is UTF-8; no other flag is written
_ZIP64 = 0xFFFFFFFF  # a size that stands in the extra field
# What the readers of zip, JSON and arrays raise when the bytes are not what was written.
DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, ValueError, TypeError,
    AttributeError, ArithmeticError, MemoryError, RuntimeError,
)  # fmt: skip


def open_file(path: str | Path) -> BinaryIO:
    """Open a regular file; whatever else has its name is refused and never waited for.

    Raises
    ------
    StoreError
        It is a directory, a pipe or a device.
    OSError
    """
    # without O_NONBLOCK a pipe would be waited for
    number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(number).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(number, "rb", buffering=0)
    os.close(number)
    what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
    raise StoreError(f"it is {what}", where=str(path), fix="move it away and rerun its rule")


@contextmanager
def named_errors(where: str, what: str = "store") -> Iterator[None]:
    """Turn whatever reading a file raises into one error that names it.

    Raises
    ------
    StoreError
        The file is missing, cannot be read, or is damaged.
    """
    try:
        yield
    except FileNotFoundError:
        raise StoreError(f"the {what} is missing", where=where, fix="run its rule") from None
    except OSError as error:
        why = error.strerror or str(error)
        fix = "check its permissions and the disk"
        raise StoreError(f"the {what} cannot be read ({why})", where=where, fix=fix) from None
    except DAMAGE as error:
        why = str(error) or type(error).__name__
        raise StoreError(f"the {what} is damaged ({why})", where=where, fix=RERUN) from None


class Archive:
    """An open store: its members, each checked whenever it is read.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    OSError, ValueError, RuntimeError, ...
        See `named_errors`.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = open_file(path)
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            small = self._size <= _AT_ONCE
            self._content = self._file.read() if small else None
            source = self._file if self._content is None else io.BytesIO(self._content)
            with zipfile.ZipFile(source) as archive:
                self.members = {info.filename: info for info in archive.infolist()}
                self._check(archive.infolist())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):  # arrays that stay on disk keep theirs open
            self._file.close()

    def _check(self, infos: list[zipfile.ZipInfo]) -> None:
        for info in infos:
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & ~_UTF8:
                raise ValueError(f"member '{info.filename}' is compressed or encrypted")
            end = info.header_offset + _HEADER.size + info.file_size
            if info.compress_size != info.file_size or end > self._size:
                raise ValueError(f"member '{info.filename}' has the wrong size")
        if len(self.members) != len(infos):
            twice, _ = Counter(info.filename for info in infos).most_common(1)[0]
            raise ValueError(f"two members '{twice}'")

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the names, sizes and CRC-32 sums of the members."""
        members = sorted((m.filename, m.file_size, m.CRC) for m in self.members.values())
        return hashlib.sha256(json.dumps(members).encode()).hexdigest()[:16]

    def read(self, name: str) -> bytes:
        """Bytes of a member.

        Raises
        ------
        KeyError, ValueError
            There is no such member, or its header or bytes are not those of the directory.
        """
        info = self.members[name]
        data = self._at(self.start(name), info.file_size)
        if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
            raise ValueError(f"CRC-32 of '{name}' does not agree")
        return data

    def start(self, name: str) -> int:
        """Where the bytes of a member begin in the file.

        Raises
        ------
        KeyError, ValueError
            As for `read`.
        """
        info = self.members[name]
        header = self._at(info.header_offset, _HEADER.size)
        mark, _, flags, method, _, _, crc, packed, size, length, extra = _HEADER.unpack(header)
        own = self._at(info.header_offset + _HEADER.size, length)
        sizes = {size, packed} <= {info.file_size, _ZIP64}
        described = mark == b"PK\3\4" and (flags, method, crc) == (info.flag_bits, 0, info.CRC)
        if not described or not sizes or own.decode("utf-8") != info.orig_filename:
            raise ValueError(f"header and directory of '{name}' do not agree")
        return int(info.header_offset + _HEADER.size + length + extra)

    def _at(self, offset: int, size: int) -> bytes:
        if self._content is not None:
            return self._content[offset : offset + size]
        parts: list[bytes] = []
        while size:  # a system reads 2 GiB at most
            part = os.pread(self._file.fileno(), size, offset)
            if not part:
                break
            parts.append(part)
            offset, size = offset + len(part), size - len(part)
        return b"".join(parts)


def fingerprint(path: str | Path) -> str:
    """Tell a store's content from any other, without reading it.

    Parameters
    ----------
    path : str or Path
        ``*.zarr.zip``.

    Returns
    -------
    str
        16 hexadecimal digits of the names, sizes and CRC-32 sums of the store's members.

    Raises
    ------
    StoreError
        Missing or damaged.
    """
    with named_errors(str(path)), Archive(path) as archive:
        return archive.fingerprint
