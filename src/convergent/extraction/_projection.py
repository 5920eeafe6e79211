"""Sparse random projection to a common width, the same on every machine."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from scipy import sparse


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
