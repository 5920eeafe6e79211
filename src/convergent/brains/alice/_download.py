"""Fetch the public files, each checked against its SHA-256 before it gets its name."""

from __future__ import annotations

import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from convergent.brains.alice._files import SOURCE, check, published_files
from convergent.errors import DataError

_TIMEOUT = 60.0  # seconds without an answer
_ATTEMPTS = 3


def download(
    directory: str | Path,
    *,
    source: str = SOURCE,
    report: Callable[[str], None] | None = None,
) -> Path:
    """Fetch the Alice data (3.4 MB, 141 files); files that are already there and right stay.

    Parameters
    ----------
    directory : str or Path
        Made when missing; ``~`` is expanded.
    source : str
        Address of the folder that holds ``alice_data_shared`` and ``alice_stim_shared``; the
        default is a commit of a public repository.
    report : callable, optional
        Called with one line a file.

    Returns
    -------
    Path
        The directory, to be given as option ``data`` of the reader.

    Raises
    ------
    DataError
        A file cannot be fetched or written, or is not the published one; nothing is left under its
        name, and a second call goes on from there.
    """
    directory = Path(directory).expanduser()
    where = f"Alice data {directory}"
    for relative in published_files():
        target = directory / relative
        if _is_right(target, relative):
            continue
        content = _fetch(source.rstrip("/") + "/" + relative, where)
        check(relative, content, where=f"{where}, from {source}")
        try:
            _publish(target, content)
        except OSError as error:
            raise DataError(
                f"file {relative} cannot be written: {error.strerror}",
                where=where,
                fix="check the directory's permissions and the free space",
            ) from None
        if report is not None:
            report(f"fetched {relative} ({len(content)} bytes)")
    return directory


def _is_right(path: Path, relative: str) -> bool:
    if not path.is_file():
        return False
    try:
        check(relative, path.read_bytes(), where=str(path))
    except DataError:
        return False
    return True


def _fetch(address: str, where: str) -> bytes:
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(address, timeout=_TIMEOUT) as answer:
                content: bytes = answer.read()
                return content
        except urllib.error.HTTPError as error:
            reason = f"{error.code} {error.reason}"
            error.close()
            if error.code < 500:  # asking again will not help
                break
        except (urllib.error.URLError, OSError) as error:
            reason = str(getattr(error, "reason", error))
    raise DataError(
        f"{address} cannot be fetched: {reason}",
        where=where,
        fix="run this where the internet can be reached, then copy the directory",
    )


def _publish(target: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: a killed download leaves no half file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
