"""The photographs, read from NSD's file when they are asked for: all are 39 GB."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convergent.brains.nsd.design import StimulusInfo, image_ids
from convergent.brains.types import StimulusSet
from convergent.errors import DataError, IdError

_BATCH = 32

Images = NDArray[np.uint8]


class StimulusImages:
    """Some of the images of ``nsd_stimuli.hdf5``, as an array (stimulus, y, x, 3) on disk.

    Parameters
    ----------
    path : Path
    numbers : ndarray of int, shape (stimulus,)
        73k ids, from 1.

    Raises
    ------
    DataError
        Damaged, or not of uint8 colour images.
    IdError
        An image that the file does not have.
    """

    ndim = 4
    dtype = np.dtype(np.uint8)

    def __init__(self, path: Path, numbers: NDArray[np.int64]) -> None:
        self._path, self._rows = path, numbers - 1
        shape, dtype = self._described()
        if len(shape) != 4 or shape[3] != 3 or dtype != self.dtype:
            raise self._damaged(f"imgBrick of {dtype} and shape {shape}")
        unknown = numbers[(self._rows < 0) | (self._rows >= shape[0])]
        if unknown.size:
            raise IdError(
                f"{unknown.size} images outside the {shape[0]} of the file, such as {unknown[0]}",
                where=str(path),
                fix="images and experiment must be of one release",
            )
        self.shape = (numbers.size, *shape[1:])

    def __len__(self) -> int:
        return int(self.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return int(np.prod(self.shape, dtype=np.int64))

    def read(self, start: int, stop: int) -> Images:
        """Images ``start`` to ``stop``."""
        return self[np.arange(start, min(stop, len(self)))]

    def pieces(self) -> Iterator[Images]:
        """All images, some at a time."""
        for start in range(0, len(self), _BATCH):
            yield self.read(start, start + _BATCH)

    def __getitem__(self, key: int | slice | NDArray[np.intp]) -> Images:
        """One image, or several."""
        import h5py

        rows = np.atleast_1d(self._rows[key])
        values = np.empty((rows.size, *self.shape[1:]), dtype=self.dtype)
        try:
            with h5py.File(self._path, "r") as file:
                brick = file["imgBrick"]
                for place, row in enumerate(rows.tolist()):
                    values[place] = brick[row]
        except (OSError, KeyError, ValueError) as error:
            raise self._damaged(str(error)) from None
        picked: Images = values[0] if isinstance(key, int | np.integer) else values
        return picked

    def _described(self) -> tuple[tuple[int, ...], np.dtype[np.uint8]]:
        import h5py

        try:
            with h5py.File(self._path, "r") as file:
                brick = file["imgBrick"]
                return brick.shape, brick.dtype
        except (OSError, KeyError) as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, how: str) -> DataError:
        return DataError(
            f"not NSD's images ({how})", where=str(self._path), fix="download the file again"
        )


Captions = Literal["first", "mean", "all"]
PEOPLE = 5  # captions of an image; a few images have more


def caption_stimuli(
    name: str,
    choice: Captions,
    paths: Iterable[Path],
    info: StimulusInfo,
    numbers: NDArray[np.int64],
    split: NDArray[np.str_],
) -> StimulusSet:
    """Texts that stand for images.

    Parameters
    ----------
    choice : {"first", "mean", "all"}
        One text an image: its first caption, or all five after each other. ``mean``: five texts
        an image, ``nsd00001-1`` to ``nsd00001-5``, whose features are averaged.
    split : ndarray of str, shape (image,)

    Raises
    ------
    DataError, IdError
        As `read_captions`.
    """
    captions, ids = read_captions(paths, info, numbers), image_ids(numbers)
    item = None
    if choice == "mean":
        item = np.repeat(ids, PEOPLE)
        texts = [text for five in captions for text in five]
        ids = np.array([f"{image}-{k}" for image in ids.tolist() for k in range(1, PEOPLE + 1)])
        split = np.repeat(split, PEOPLE)
    else:
        texts = [five[0] if choice == "first" else " ".join(five) for five in captions]
    return StimulusSet(
        name=name,
        modality="language",
        design="items",
        ids=ids,
        texts=tuple(texts),
        split=split,
        item=item,
    )


def read_captions(
    paths: Iterable[Path], info: StimulusInfo, numbers: NDArray[np.int64]
) -> list[tuple[str, ...]]:
    """The first five captions of each image, in the order of COCO's files.

    Parameters
    ----------
    paths : iterable of Path
        ``captions_train2017.json`` and ``captions_val2017.json``.
    info : StimulusInfo
    numbers : ndarray of int, shape (image,)
        73k ids.

    Returns
    -------
    list of tuple of str
        An image each; blanks at the ends and line breaks removed.

    Raises
    ------
    DataError
        A file is damaged.
    IdError
        An image without COCO id, or with fewer captions than five.
    """
    order = np.argsort(info.number)
    place = np.searchsorted(info.number, numbers, sorter=order).clip(max=order.size - 1)
    found = order[place]
    unknown = numbers[info.number[found] != numbers]
    if unknown.size:
        raise IdError(
            f"{unknown.size} images are not in NSD's table of stimuli, such as {unknown[0]}",
            where="captions",
            fix="table and experiment must be of one release",
        )
    coco = info.coco[found].tolist()
    captions: dict[int, list[str]] = {image: [] for image in coco}
    for path in paths:
        _collect(path, captions)
    few = [image for image, texts in captions.items() if len(texts) < PEOPLE]
    if few:
        raise IdError(
            f"{len(few)} images have fewer than {PEOPLE} captions, such as COCO's {few[0]}",
            where="captions",
            fix="use captions_train2017.json and captions_val2017.json of COCO",
        )
    return [tuple(captions[image][:PEOPLE]) for image in coco]


def _collect(path: Path, captions: dict[int, list[str]]) -> None:
    try:
        annotations = json.loads(path.read_text(encoding="utf-8"))["annotations"]
        for annotation in annotations:
            texts = captions.get(int(annotation["image_id"]))
            if texts is not None:
                texts.append(" ".join(str(annotation["caption"]).split()))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"not COCO's captions ({type(error).__name__}: {error})",
            where=str(path),
            fix="download annotations_trainval2017.zip of https://cocodataset.org again",
        ) from None
