"""Rows of every layer as batches bring them, and whether they can be used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import Any, Literal, Protocol

import numpy as np
from scipy import sparse

from convergent.errors import LayerError
from convergent.study.types import Layer


@dataclass(frozen=True)
class LayerSummary:
    """What there is to say about one layer's activations for all stimuli of a data set.

    Attributes
    ----------
    layer : str
    status : {"ok", "failed"}
        ``failed`` when an activation is not finite, or beyond what the stored type holds.
    reason : str
        Why the layer failed; empty otherwise.
    width : int
        Declared width of the module's output.
    pooled_width : int
        Features after pooling, before projection.
    projected : bool
        Whether a random projection was applied.
    truncated : int
        Number of texts that were longer than the model can read.
    """

    layer: str
    status: Literal["ok", "failed"]
    reason: str
    width: int
    pooled_width: int
    projected: bool
    truncated: int = 0


@dataclass(frozen=True, kw_only=True)
class LayerFeatures(LayerSummary):
    """A layer's activations themselves.

    Attributes
    ----------
    features : ndarray of float32 or float16, shape (stimulus, feature)
        In the order of the stimulus set. Those of a failed layer are as they came out.
    """

    features: np.ndarray


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


@lru_cache(maxsize=64)
def projection_matrix(inputs: int, outputs: int, seed: int) -> Any:
    """Sparse Johnson-Lindenstrauss matrix.

    Each input feature goes, with a random sign, to one random output in each of ``s``
    contiguous blocks of outputs, scaled by ``1 / sqrt(s)``. ``s = outputs / sqrt(inputs)``
    (at least 1) gives the density ``1 / sqrt(inputs)`` of Li et al.; a fixed number of
    entries a row (Kane and Nelson) keeps squared lengths right in expectation and needs
    whole numbers only, so that the matrix does not depend on a machine's mathematics.

    Parameters
    ----------
    inputs, outputs : int
        Number of features before and after.
    seed : int

    Returns
    -------
    scipy.sparse.csr_array of float32, shape (feature, projected feature)

    References
    ----------
    Li, P., Hastie, T. J., & Church, K. W. (2006). Very sparse random projections. KDD.
    Kane, D. M., & Nelson, J. (2014). Sparser Johnson-Lindenstrauss transforms. J. ACM, 61.
    """
    entries = min(outputs, max(1, round(outputs / sqrt(inputs))))
    key = hashlib.sha256(f"projection|{seed}|{inputs}|{outputs}".encode()).digest()[:16]
    # The raw stream of a counter-based generator is fixed by its definition; the streams
    # of numpy's distributions may change between versions.
    raw = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(inputs * entries)
    raw = raw.reshape(inputs, entries)
    edges = (np.arange(entries + 1, dtype=np.int64) * outputs) // entries
    sizes = np.diff(edges).astype(np.uint64)
    column = edges[:-1] + ((raw >> np.uint64(1)) % sizes).astype(np.int64)
    sign = np.where(raw & np.uint64(1), 1.0, -1.0).astype(np.float32)
    values = sign / np.float32(sqrt(entries))
    starts = np.arange(inputs + 1, dtype=np.int64) * entries
    return sparse.csr_array(
        (values.ravel(), column.ravel(), starts), shape=(inputs, outputs), dtype=np.float32
    )


def project(features: np.ndarray, outputs: int | None, seed: int) -> np.ndarray:
    """Project features to ``outputs`` of them; narrower ones stay as they are.

    Parameters
    ----------
    features : ndarray of float32, shape (item, feature)
    outputs : int or None
        None: no projection.
    seed : int

    Returns
    -------
    ndarray of float32, shape (item, min(feature, outputs))
    """
    if outputs is None or features.shape[1] <= outputs:
        return features
    matrix = projection_matrix(features.shape[1], outputs, seed)
    return np.ascontiguousarray(features @ matrix, dtype=np.float32)
