"""Files from the internet, written whole or not at all."""

from __future__ import annotations

import csv
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from convergent.errors import DataError

_TIMEOUT = 60.0  # seconds without an answer
_ATTEMPTS = 3


def recorded(package: str, name: str) -> list[dict[str, str]]:
    """Rows of a package's table of files and checksums; lines that start with # are comments."""
    text = files(package).joinpath(name).read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return list(csv.DictReader(lines, delimiter="\t"))


def fetch_file(
    source: str,
    name: str,
    target: Path,
    check: Callable[[bytes, str], None],
    *,
    where: str,
    report: Callable[[str], None] | None,
) -> None:
    """Fetch one file and check its content before it gets its name.

    Parameters
    ----------
    source, name : str
        Address of the folder, and the file's path in it.
    target : Path
    check : callable
        ``check(content, where)`` raises unless the content is the recorded one.
    where : str
        For messages.
    report : callable, optional
        Called with a line when the file was fetched.

    Raises
    ------
    DataError
        The file cannot be fetched or written, or is not the recorded one.
    """
    content = fetch_bytes(source.rstrip("/") + "/" + name, where)
    check(content, f"{where}, from {source}")
    try:
        publish_bytes(target, content)
    except OSError as error:
        raise DataError(
            f"file {name} cannot be written: {error.strerror}",
            where=where,
            fix="check the directory's permissions and the free space",
        ) from None
    if report is not None:
        report(f"fetched {name} ({len(content)} bytes)")


def fetch_bytes(address: str, where: str) -> bytes:
    """Content of a file on the internet.

    Raises
    ------
    DataError
        It cannot be fetched.
    """
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


def publish_bytes(target: Path, content: bytes) -> None:
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
