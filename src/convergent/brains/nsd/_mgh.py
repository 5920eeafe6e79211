"""MGH files, closed after use: nibabel leaves those that are not compressed open."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def open_mgh(path: Path) -> Iterator[Any]:
    """Open an ``.mgh`` or ``.mgz`` file.

    Yields
    ------
    nibabel.MGHImage
        Its values are read while it is open.
    """
    from nibabel import MGHImage

    with ExitStack() as files:
        stream: Any = files.enter_context(path.open("rb"))
        if path.name.endswith(".mgz"):
            stream = files.enter_context(gzip.GzipFile(fileobj=stream))
        yield MGHImage.from_stream(stream)
