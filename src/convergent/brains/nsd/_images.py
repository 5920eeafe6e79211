"""The photographs, read from NSD's file when they are asked for: all are 39 GB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
