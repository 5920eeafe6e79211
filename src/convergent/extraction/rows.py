"""Rows of every layer as batches bring them, and whether they can be used."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import sqrt
from typing import Any, Literal, Protocol

import numpy as np
from scipy import sparse

from convergent.errors import LayerError
from convergent.extraction.selfcheck import Agreement, Inputs
from convergent.study.config import ExtractionLimits
from convergent.study.types import Layer

# A feature varies if it moves by more than this share of its size: less may be rounding.
_VARIES = 1e-5


@dataclass(frozen=True)
class LayerSummary:
    """What there is to say about one layer's activations for all stimuli of a data set.

    Attributes
    ----------
    layer : str
    status : {"ok", "failed"}
        ``failed`` when an activation is not finite, or beyond what the stored type holds, or when
        one of ``counted`` is more than the study's limits allow.
    reason : str
        Why the layer failed; empty otherwise.
    width : int
        Declared width of the module's output.
    pooled_width : int
        Features after pooling, before projection.
    projected : bool
        Whether a random projection was applied.
    counted : dict of str to int
        `convergent.study.types.COUNTED`: numbers of stimuli and features, and of those that were
        found wanting.
    agreement : Agreement, optional
        How far passes over the same inputs agreed; None of baselines.
    """

    layer: str
    status: Literal["ok", "failed"]
    reason: str
    width: int
    pooled_width: int
    projected: bool
    counted: Mapping[str, int] = field(default_factory=dict)
    agreement: Agreement | None = None

    @property
    def truncated(self) -> int:
        """Number of texts that were longer than the model can read."""
        return self.counted.get("truncated", 0)


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
        self._marks = np.zeros(len(ids), dtype=np.int64)
        self._first: np.ndarray = np.zeros(0)
        self._varies: np.ndarray = np.zeros(0, dtype=bool)

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
            self._first = small[0].astype(self._dtype).astype(np.float32)
            self._varies = np.zeros(self._width, dtype=bool)
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
        apart = np.abs(stored - self._first) > _VARIES * np.abs(self._first)
        self._varies |= apart.any(axis=0)
        # zero has two signs, which mean the same
        self._marks[rows] = [hash(row.tobytes()) for row in stored + self._dtype.type(0)]

    def summary(
        self, inputs: Inputs, limits: ExtractionLimits | None, agreement: Agreement | None = None
    ) -> LayerSummary:
        """What became of the layer.

        Parameters
        ----------
        inputs : Inputs
            What was found about the stimuli.
        limits : ExtractionLimits or None
            What may be found; None: anything, for controls.
        agreement : Agreement, optional
        """
        assert self._seen.all(), "a stimulus was never read"
        counted = inputs.counts() | {
            "features": self._width,
            "constant": int(np.count_nonzero(~self._varies)),
            "identical": self._identical(inputs),
        }
        reason = self._failure(self._undefined, "NaN or infinity")
        if not reason and self._beyond.any():
            most = np.finfo(self._dtype).max
            reason = self._failure(
                self._beyond, f"features beyond {self._dtype} (at most {most:g})"
            )
            reason += "; set extraction.store: float32"
        if not reason and limits is not None:
            reason = _above(counted, limits, inputs)
        return LayerSummary(
            layer=self._layer.name,
            status="failed" if reason else "ok",
            reason=reason,
            width=self._layer.width,
            pooled_width=self._pooled_width,
            projected=self._width != self._pooled_width,
            counted=counted,
            agreement=agreement,
        )

    def _identical(self, inputs: Inputs) -> int:
        """Stimuli that have the row of another one that shows or says something else."""
        _, group, sizes = np.unique(self._marks, return_inverse=True, return_counts=True)
        shared = np.flatnonzero(sizes[group] > 1)
        contents: dict[int, set[bytes | str]] = {}
        for row, content in zip(shared, inputs.contents(shared.tolist()), strict=True):
            contents.setdefault(int(group[row]), set()).add(content)
        return sum(len(contents[int(group[row])]) > 1 for row in shared)

    def _failure(self, bad: np.ndarray, what: str) -> str:
        found = np.flatnonzero(bad)
        if not found.size:
            return ""
        return f"{what} for {found.size} of {len(bad)} stimuli (first: {self._ids[found[0]]})"


# What each limit is about, how it is told, and what it is a share of.
_LIMITS = {
    "unknown": ("characters that the model does not know in", "stimuli"),
    "truncated": ("cut to the model's longest input:", "stimuli"),
    "blank": ("images of one value:", "stimuli"),
    "saturated": ("saturated images:", "stimuli"),
    "constant": ("the same for all stimuli:", "features"),
    "identical": ("the same features as other, different stimuli have:", "stimuli"),
}


def _above(counted: Mapping[str, int], limits: ExtractionLimits, inputs: Inputs) -> str:
    """Tell the first count that is more than the limit; empty if none is."""
    for name, (what, of) in _LIMITS.items():
        limit = getattr(limits, name)
        if counted[name] <= limit * counted[of]:
            continue
        if name == "constant" and not inputs.several():
            continue  # one stimulus, or many times the same
        return (
            f"{what} {counted[name]} of {counted[of]} {of}, more than "
            f"extraction.limits.{name} ({limit:g}) allows"
        )
    return ""


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
