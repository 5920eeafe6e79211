"""Rows of every layer as batches bring them, and whether they can be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from convergent.errors import LayerError
from convergent.extraction._features import LayerSummary
from convergent.study.types import Layer

Transform = Callable[[np.ndarray], np.ndarray]


class Rows(Protocol):
    """Where a layer's rows go."""

    def write(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Keep ``values`` as the given rows; a row may be written again, with the same values."""


# open_rows(layer, shape, dtype), called when the number of features is known
OpenRows = Callable[[str, tuple[int, int], "np.dtype[Any]"], Rows]


class ArrayRows:
    """Rows in memory."""

    def __init__(self, shape: tuple[int, int], dtype: np.dtype[Any]) -> None:
        self.values: np.ndarray = np.empty(shape, dtype=dtype)

    def write(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Keep rows."""
        self.values[rows] = values


class LayerRows:
    """One layer's rows: projected, checked and written as they come.

    Parameters
    ----------
    layer : Layer
    ids : ndarray of str, shape (stimulus,)
        For the reason of a failure.
    transform : callable
        Applied to each batch's rows (projection).
    dtype : dtype
        Of what is written.
    open_rows : callable
        See `OpenRows`.
    where : str
        For error messages.
    """

    def __init__(
        self,
        layer: Layer,
        ids: np.ndarray,
        *,
        transform: Transform,
        dtype: np.dtype[Any],
        open_rows: OpenRows,
        where: str,
    ) -> None:
        self._layer, self._ids, self._transform = layer, ids, transform
        self._dtype, self._open, self._where = dtype, open_rows, where
        self._rows: Rows | None = None
        self._pooled_width = self._width = 0
        self._seen, self._undefined, self._beyond = np.zeros((3, len(ids)), dtype=bool)

    def add(self, rows: np.ndarray, values: np.ndarray) -> None:
        """Take the rows of one batch.

        Parameters
        ----------
        rows : ndarray of int, shape (row,)
            Their stimuli.
        values : ndarray of float32, shape (row, feature)

        Raises
        ------
        LayerError
            If batches differ in their number of features.
        """
        width = values.shape[1]
        small = self._transform(values)
        if self._rows is None:
            self._pooled_width, self._width = width, small.shape[1]
            self._rows = self._open(self._layer.name, (len(self._ids), self._width), self._dtype)
        if width != self._pooled_width:
            raise LayerError(
                f"{width} features in one batch, {self._pooled_width} in another",
                where=f"{self._where}, layer '{self._layer.name}'",
                fix="use a pooling other than flatten",
            )
        with np.errstate(over="ignore"):
            stored = small.astype(self._dtype, copy=False)
        self._undefined[rows] = ~np.isfinite(small).all(axis=1)
        self._beyond[rows] = ~np.isfinite(stored).all(axis=1)
        self._rows.write(rows, stored)
        self._seen[rows] = True

    def summary(self, truncated: int = 0) -> LayerSummary:
        """What became of the layer."""
        assert self._seen.all(), "a stimulus was never read"
        reason = self._failure(self._undefined, "NaN or infinity")
        if not reason and self._beyond.any():
            most = np.finfo(self._dtype).max
            reason = self._failure(
                self._beyond, f"features beyond {self._dtype} (at most {most:g})"
            )
            reason += "; set extraction.store: float32"
        return LayerSummary(
            layer=self._layer.name,
            status="failed" if reason else "ok",
            reason=reason,
            width=self._layer.width,
            pooled_width=self._pooled_width,
            projected=self._width != self._pooled_width,
            truncated=truncated,
        )

    def _failure(self, bad: np.ndarray, what: str) -> str:
        found = np.flatnonzero(bad)
        if not found.size:
            return ""
        return f"{what} for {found.size} of {len(bad)} stimuli (first: {self._ids[found[0]]})"


Collected = Mapping[str, LayerRows]
