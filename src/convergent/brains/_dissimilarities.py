"""Dissimilarity matrices in place of responses: what they must be."""

from __future__ import annotations

import numpy as np

from convergent.errors import DataError


def check_dissimilarities(matrix: np.ndarray, where: str, design: str = "items") -> None:
    """Refuse what is no dissimilarity matrix of items.

    Raises
    ------
    DataError
        Not square, not symmetric, negative or of non-zero diagonal; or of a story, whose volumes
        are not items.
    """
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if design != "items" or not square:
        raise DataError(
            f"dissimilarities of shape {matrix.shape} and design '{design}'",
            where=where,
            fix="give a square matrix (item, item) for each region",
        )
    faults = {
        "not symmetric": not np.array_equal(matrix, matrix.T),
        "not zero on the diagonal": bool(np.diagonal(matrix).any()),
        "negative": bool((matrix < 0).any()),
    }
    found = [fault for fault, there in faults.items() if there]
    if found:
        raise DataError(
            f"dissimilarities that are {' and '.join(found)}",
            where=where,
            fix="give distances between items, each with itself 0",
        )
