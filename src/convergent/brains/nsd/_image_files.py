"""NIfTI and MGH files: read to their end, where gzip keeps its checksum, and closed after use.

nibabel alone reads compressed values without ever coming to the checksum, and leaves MGH files
that are not compressed open.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

_PIECE = 1 << 20


@contextmanager
def open_image(path: Path) -> Iterator[Any]:
    """Open a ``.nii.gz``, ``.mgz`` or ``.mgh`` file.

    Yields
    ------
    nibabel.Nifti1Image or nibabel.MGHImage
        Its values are read while it is open.

    Raises
    ------
    OSError
        At the end, where the checksum of a compressed file is wrong.
    """
    from nibabel import MGHImage, Nifti1Image

    kind = Nifti1Image if path.name.endswith(".nii.gz") else MGHImage
    with ExitStack() as files:
        stream: Any = files.enter_context(path.open("rb"))
        if path.name.endswith("z"):
            stream = files.enter_context(gzip.GzipFile(fileobj=stream))
        yield kind.from_stream(stream)
        if path.name.endswith("z"):
            while stream.read(_PIECE):
                pass
