"""Dissimilarities of stimuli that were measured, and come in place of responses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment.similarity._geometry import Geometry
from convergent.alignment.similarity._inputs import Index, region_columns
from convergent.alignment.similarity._pairs import PairIndex
from convergent.errors import DataError


@dataclass(frozen=True, eq=False)
class Dissimilarities:
    """One subject's dissimilarity matrices, in the place of responses.

    Attributes
    ----------
    values : ndarray, shape (stimulus, target)
        The targets of a region are the stimuli, in the order of the rows: its columns are a
        symmetric matrix.
    rows : ndarray of int, shape (chosen stimulus,), optional
        The stimuli that are compared, in that order; all unless given.
    """

    values: NDArray[np.floating]
    rows: Index | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Stimuli that are compared, and targets of all."""
        number = len(self.values) if self.rows is None else self.rows.size
        return number, self.values.shape[1]

    def __getitem__(self, rows: Index) -> Dissimilarities:
        """Some of the stimuli, in another order."""
        return Dissimilarities(self.values, rows if self.rows is None else self.rows[rows])

    def matrix(self, columns: Index) -> NDArray[np.float64]:
        """Dissimilarities of the chosen stimuli in a region, (stimulus, stimulus).

        Raises
        ------
        DataError
            The region's columns are not the stimuli.
        """
        square: NDArray[np.float64] = np.asarray(self.values[:, columns], dtype=np.float64)
        if square.shape[0] != square.shape[1] or not np.array_equal(square, square.T):
            raise DataError(
                f"a region whose dissimilarities {square.shape} are not symmetric",
                where="similarity",
                fix="give each region one target a stimulus, in the order of the stimuli",
            )
        return square if self.rows is None else square[np.ix_(self.rows, self.rows)]


@dataclass(frozen=True, eq=False)
class MeasuredRegion:
    """One region of one subject, of which dissimilarities are known.

    Attributes
    ----------
    dissimilarities : Dissimilarities
    columns : ndarray of int
        Perhaps none.
    """

    dissimilarities: Dissimilarities
    columns: Index

    def geometry(self, pairs: PairIndex) -> Geometry | None:
        """What metrics of dissimilarities see; None without targets."""
        if self.columns.size == 0:
            return None
        matrix = torch.from_numpy(self.dissimilarities.matrix(self.columns))
        return Measured.of_distances(matrix.to(pairs.device), pairs)


def measured_regions(
    given: Dissimilarities, region_index: ArrayLike | None, n_regions: int, stimuli: int
) -> list[MeasuredRegion]:
    """Regions of one subject.

    Raises
    ------
    DataError
        Dissimilarities of another number of stimuli, or with NaN, infinity or no region.
    """
    if given.shape[0] != stimuli or not np.isfinite(given.values).all():
        raise DataError(
            f"dissimilarities of {given.shape[0]} stimuli where {stimuli} finite ones are needed",
            where="similarity",
            fix="join stimuli and dissimilarities by id first",
        )
    columns = region_columns(region_index, given.shape[1], n_regions)
    return [MeasuredRegion(given, members) for members in columns]


@dataclass(frozen=True, eq=False)
class Measured(Geometry):
    """A geometry without patterns: nothing but the distances is known.

    Attributes
    ----------
    distances : Tensor of float64, shape (stimulus, stimulus)
    """

    distances: Tensor

    @classmethod
    def of_distances(cls, distances: Tensor, pairs: PairIndex) -> Measured:
        """Take distances for what they are; all that belongs to patterns is left empty."""
        none = distances.new_zeros(0)
        empty, flat = distances.new_zeros(0, 0), none.bool()
        return cls(
            pairs, empty, none, none.sum(), none, none.sum(), 0, flat, flat, none.long(), distances
        )

    def subset(self, rows: Tensor, pairs: PairIndex) -> Measured:
        """Distances of some of the stimuli."""
        return Measured.of_distances(self.distances[rows][:, rows], pairs)
