"""What a study chose to measure performance on: a text, or a folder of labelled images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from convergent.brains.pictures import read_picture
from convergent.errors import DataError
from convergent.names import shown
from convergent.text_files import MB, read_cells, read_text

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm"})
_COLUMNS = ("folder", "index", "name")


@dataclass(frozen=True)
class Material:
    """Files that evaluations read.

    Attributes
    ----------
    text : Path, optional
        UTF-8, for causal language models.
    images : Path, optional
        One folder of images a class.
    classes : Path, optional
        Table (folder, index, name) of those folders: index of the class among a classifier's
        outputs, and its name in words.
    templates : tuple of str
        Sentences with ``{}`` for the name of a class.
    window, stride : int
        Tokens of a window of the text, and by how many it moves on.
    """

    text: Path | None = None
    images: Path | None = None
    classes: Path | None = None
    templates: tuple[str, ...] = ("a photo of a {}.",)
    window: int = 1024
    stride: int = 512


@dataclass(frozen=True)
class ImageFolder:
    """Labelled images.

    Attributes
    ----------
    files : tuple of Path
        Sorted by class, then by name.
    labels : ndarray of int64, shape (image,)
        Index into ``folders``.
    folders, names : tuple of str
        Of each class: its folder and its name in words.
    outputs : tuple of int
        Of each class: its index among a classifier's outputs.
    listed : bool
        Whether a table gave these indices; they count the folders otherwise.
    """

    files: tuple[Path, ...]
    labels: NDArray[np.int64]
    folders: tuple[str, ...]
    names: tuple[str, ...]
    outputs: tuple[int, ...]
    listed: bool

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.int64], list[NDArray[np.uint8]]]]:
        """Labels and images (y, x, 3) of ``size`` images at a time.

        Raises
        ------
        DataError
            If a file is no image.
        """
        for first in range(0, len(self.files), size):
            chosen = slice(first, first + size)
            yield self.labels[chosen], [read_picture(path).pixels for path in self.files[chosen]]


def read_evaluated(path: Path) -> str:
    """Read the text that language models are measured on, as it is.

    Raises
    ------
    DataError
        No such file, not UTF-8, or larger than 1 GB.
    """
    return read_text(path, error=DataError, largest=1024 * MB, as_is=True)


def image_folder(folder: Path, classes: Path | None) -> ImageFolder:
    """List a folder of one folder of images a class.

    Parameters
    ----------
    folder : Path
    classes : Path, optional
        Table of the folders; without one they are classes 0, 1, ... in alphabetical order, and
        their names in words are those of the folders.

    Raises
    ------
    DataError
        If there is no such folder or no image in it, or table and folders do not agree.
    """
    if not folder.is_dir():
        raise DataError("no such folder of images", where=str(folder), fix="see performance.images")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir())
    rows = _table(classes) if classes else [(name, i, name) for i, name in enumerate(found)]
    unknown = sorted(set(found) - {name for name, _, _ in rows})
    if unknown:
        raise DataError(
            f"folder '{unknown[0]}' is not in '{classes}'",
            where=str(folder),
            fix="add its row, or remove the folder",
        )
    rows = [row for row in rows if row[0] in found]
    files, labels = [], []
    for label, (name, _, _) in enumerate(rows):
        own = sorted(p for p in (folder / name).iterdir() if p.suffix.lower() in _SUFFIXES)
        if not own:
            raise DataError(
                f"no image in class '{name}'", where=str(folder), fix="remove the folder"
            )
        files += own
        labels += [label] * len(own)
    if not files:
        raise DataError(
            "no image in it", where=str(folder), fix="put the images of each class into a folder"
        )
    return ImageFolder(
        files=tuple(files),
        labels=np.array(labels, dtype=np.int64),
        folders=tuple(name for name, _, _ in rows),
        names=tuple(words.replace("_", " ") for _, _, words in rows),
        outputs=tuple(index for _, index, _ in rows),
        listed=classes is not None,
    )


def _table(path: Path) -> list[tuple[str, int, str]]:
    header: list[str] = []
    found = []
    for number, cells in read_cells(path, error=DataError):
        if not header:
            header = cells
            missing = [name for name in _COLUMNS if name not in header]
            if missing:
                raise DataError(
                    f"column '{missing[0]}' is missing",
                    where=str(path),
                    fix=f"columns {', '.join(_COLUMNS)}, separated by tabs",
                )
            continue
        row = dict(zip(header, cells, strict=False))
        if len(cells) != len(header) or not re.fullmatch(r"[0-9]{1,9}", row["index"]):
            raise DataError(
                f"{len(cells)} cells for {len(header)} columns"
                if len(cells) != len(header)
                else f"index '{shown(row['index'])}' is no whole number",
                where=f"{path}, line {number}",
                fix=f"columns {', '.join(_COLUMNS)}, separated by tabs",
            )
        found.append((row["folder"], int(row["index"]), row["name"]))
    if not found:
        raise DataError("the table has no rows", where=str(path), fix="give one per folder")
    for column, number in (("folder", 0), ("index", 1)):
        values = [str(row[number]) for row in found]
        twice = next((value for value in values if values.count(value) > 1), None)
        if twice is not None:
            raise DataError(f"{column} '{twice}' occurs twice", where=str(path))
    return found
