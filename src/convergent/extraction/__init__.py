"""Extraction: forward passes to features, one vector a stimulus and layer.

Importing this package imports no deep-learning library; extracting does.
"""

from convergent.extraction.extract import BatchSize, Settings, extract, extract_rows
from convergent.extraction.pooling import check_pooling
from convergent.extraction.rows import (
    LayerFeatures,
    LayerSummary,
    OpenRows,
    Rows,
    project,
    projection_matrix,
)
from convergent.extraction.selfcheck import TOLERANCE, Agreement

__all__ = [
    "TOLERANCE",
    "Agreement",
    "BatchSize",
    "LayerFeatures",
    "LayerSummary",
    "OpenRows",
    "Rows",
    "Settings",
    "check_pooling",
    "extract",
    "extract_rows",
    "project",
    "projection_matrix",
]
