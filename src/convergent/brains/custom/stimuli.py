"""Stimuli of a data set of one's own: images of a folder, texts of a table, words of a story."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from convergent.brains.custom.config import OwnConfig
from convergent.brains.pictures import AS_STORED, Colour, read_picture
from convergent.brains.types import StimulusSet
from convergent.errors import DataError, did_you_mean
from convergent.names import location_error
from convergent.text_files import MB, read_bytes, read_cells, read_text

Text = NDArray[np.str_]


def read_table(path: Path) -> dict[str, Text]:
    """Columns of a tab- or comma-separated table with a header.

    Raises
    ------
    DataError
        The file cannot be read, is empty, has columns of one name, or a row of another length.
    """
    where = str(path)
    lines = read_cells(path, delimiter=_delimiter(path), error=DataError)
    if len(lines) < 2:
        raise DataError("table without rows", where=where, fix="give a header and rows")
    header, rows = lines[0][1], lines[1:]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DataError(f"column '{twice[0]}' occurs twice", where=where, fix="name it once")
    for number, row in rows:
        if len(row) != len(header):
            raise DataError(
                f"{len(row)} cells in a table of {len(header)} columns",
                where=f"{where}, line {number}",
                fix="separate cells with tabs (.tsv) or commas (.csv)",
            )
    columns = zip(*(row for _, row in rows), strict=True)
    return {name: np.array(cells) for name, cells in zip(header, columns, strict=True)}


def column(table: dict[str, Text], name: str, path: Path, key: str, *, empty: bool = False) -> Text:
    """One column, without empty cells unless they mean something.

    Raises
    ------
    DataError
        No such column, or an empty cell in it.
    """
    if name not in table:
        raise DataError(
            f"no column '{name}'",
            where=str(path),
            fix=f"{did_you_mean(name, table)} Set {key} to the column's name",
        )
    gaps = np.flatnonzero(table[name] == "")
    if gaps.size and not empty:
        raise DataError(
            f"{gaps.size} cells of column '{name}' are empty",
            where=f"{path}, row {gaps[0] + 2}",
            fix="fill them, or leave the rows out",
        )
    return table[name]


def numbers(table: dict[str, Text], name: str, path: Path, key: str) -> NDArray[np.float64]:
    """One column as finite numbers.

    Raises
    ------
    DataError
        As in `column`, or a cell that is no finite number.
    """
    cells = column(table, name, path, key)
    values = np.empty(cells.size)
    for place, cell in enumerate(cells.tolist()):
        try:
            values[place] = float(cell)
        except ValueError:
            values[place] = np.nan
        if not np.isfinite(values[place]):
            raise DataError(
                f"'{cell}' in column '{name}' is no number",
                where=f"{path}, row {place + 2}",
                fix="give seconds, with a decimal point",
            )
    return values


def read_list(path: Path, name: str, key: str, *, empty: bool = False) -> Text:
    """Text, one a sample or target: a table's column, an array (.npy), or lines (.txt)."""
    if path.suffix in (".tsv", ".csv"):
        return column(read_table(path), name, path, key, empty=empty)
    if path.suffix == ".npy":
        raw = read_bytes(path, error=DataError, largest=1024 * MB)
        try:
            values = np.load(io.BytesIO(raw), allow_pickle=False)
            text: Text = values.astype(np.str_)
        except Exception as error:  # numpy raises what it likes on a broken file
            raise DataError(f"cannot be read: {error}", where=str(path), fix="check it") from None
        if values.ndim != 1:
            raise DataError(f"array of shape {values.shape}", where=str(path), fix="give one axis")
        if values.dtype.kind not in "iufSU":
            raise DataError(
                f"values of type {values.dtype}", where=str(path), fix="give text or numbers"
            )
        return text
    lines = read_text(path, error=DataError).removesuffix("\n").split("\n")
    return np.array([line.strip() for line in lines])


def _delimiter(path: Path) -> str:
    return "," if path.suffix == ".csv" else "\t"


_AT_ONCE = 64 << 20  # bytes of images that are read together
_HELD = 1 << 30  # smaller sets are read as a whole


class ImageFiles:
    """Images of a folder as an array (stimulus, y, x, 3) of uint8, read when asked for.

    Parameters
    ----------
    paths : list of Path
    size : int or None
        Pixels a side: images are cut to the largest square in their middle and resized (bicubic).
        None: images as they are, which must then have one size.
    background : tuple of int, optional
        Colour behind transparent pixels.

    Attributes
    ----------
    conversions : dict of str to int
        How many images were brought to 8-bit sRGB in which way (`read_picture`), of those that
        have been read.

    Raises
    ------
    DataError
        An image is missing or cannot be read, or sizes differ.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(
        self, paths: list[Path], size: int | None, background: Colour | None = None
    ) -> None:
        missing = [
            path for path in paths if location_error(str(path)) is not None or not path.is_file()
        ]
        if missing:
            raise DataError(
                f"{len(missing)} of {len(paths)} images are missing: {missing[0].name}",
                where=str(missing[0].parent),
                fix="check stimuli.images and the column of file names",
            )
        self._paths, self._size, self._background = paths, size, background
        self._seen: set[int] = set()
        self.conversions: dict[str, int] = {}
        first = self._image(0)
        self.shape: tuple[int, ...] = (len(paths), *first.shape)

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return int(np.prod(self.shape, dtype=np.int64))

    def read(self, start: int, stop: int) -> np.ndarray:
        """Images ``start`` to ``stop``."""
        return self[np.arange(start, min(stop, len(self)))]

    def pieces(self) -> Iterator[np.ndarray]:
        """All images, a few at a time."""
        step = max(1, _AT_ONCE // max(int(np.prod(self.shape[1:])), 1))
        for start in range(0, len(self), step):
            yield self.read(start, start + step)

    def __getitem__(self, key: int | slice | np.ndarray) -> np.ndarray:
        """One image, or several."""
        if isinstance(key, int | np.integer):
            return self._checked(int(key))
        index = np.arange(len(self))[key]
        values = np.empty((len(index), *self.shape[1:]), dtype=np.uint8)
        for place, number in enumerate(index.tolist()):
            values[place] = self._checked(number)
        return values

    def _checked(self, number: int) -> np.ndarray:
        image = self._image(number)
        if image.shape != self.shape[1:]:
            raise DataError(
                f"image of {image.shape[1]} x {image.shape[0]} pixels, the first has "
                f"{self.shape[2]} x {self.shape[1]}",
                where=str(self._paths[number]),
                fix="set stimuli.size, to which all are cut and resized",
            )
        return image

    def _image(self, number: int) -> np.ndarray:
        fix = "set stimuli.background to the colour that people saw there, such as [128, 128, 128]"
        picture = read_picture(self._paths[number], self._background, fix=fix)
        if number not in self._seen:
            self._seen.add(number)
            for kind in picture.conversions or (AS_STORED,):
                self.conversions[kind] = self.conversions.get(kind, 0) + 1
        if self._size is None:
            return picture.pixels
        image = Image.fromarray(picture.pixels)
        side = min(image.size)
        left, upper = (image.width - side) // 2, (image.height - side) // 2
        square = image.crop((left, upper, left + side, upper + side))
        resized = square.resize((self._size, self._size), Image.Resampling.BICUBIC)
        return np.asarray(resized, dtype=np.uint8)


def read_stimuli(name: str, config: OwnConfig, folder: Path) -> StimulusSet:
    """Read the stimuli.

    Raises
    ------
    DataError
        The table or an image is missing or malformed, or word times run backwards.
    IdError
        An id occurs twice.
    """
    said = config.stimuli
    path = folder / said.table
    table = read_table(path)
    ids = column(table, said.id, path, "stimuli.id")
    images, texts = None, None
    conversions: Mapping[str, int] = {}
    if said.images is not None and config.modality == "vision":
        files = column(table, said.file, path, "stimuli.file")
        paths = [folder / said.images / file for file in files.tolist()]
        lazy = ImageFiles(paths, said.size, said.background)
        conversions = lazy.conversions
        images = lazy if lazy.nbytes > _HELD else lazy[:]
    else:
        texts = tuple(column(table, said.text, path, "stimuli.text").tolist())
    onset = offset = None
    if config.design == "story":
        onset = numbers(table, said.onset, path, "stimuli.onset")
        offset = numbers(table, said.offset, path, "stimuli.offset")
        wrong = np.flatnonzero((offset < onset) | (np.diff(onset, prepend=onset[0]) < 0))
        if wrong.size:
            raise DataError(
                f"word '{ids[wrong[0]]}' begins before the one before it, or ends before it begins",
                where=f"{path}, row {wrong[0] + 2}",
                fix="list the words in order of time",
            )
    extra = {
        key: column(table, name_of, path, f"stimuli.{key}")
        for key, name_of in (("group", said.group), ("split", said.split))
        if name_of is not None
    }
    return StimulusSet(
        name=name,
        modality=config.modality,
        design=config.design,
        ids=ids,
        images=images,  # type: ignore[arg-type]  # read as an array is
        texts=texts,
        onset=onset,
        offset=offset,
        group=extra.get("group"),
        split=extra.get("split"),
        conversions=conversions,
    )
