"""Extraction: forward passes to features, one vector a stimulus and layer.

Importing this package imports no deep-learning library; extracting does.
"""

from convergent.extraction._collect import OpenRows, Rows
from convergent.extraction._extract import BatchSize, Settings, extract, extract_rows
from convergent.extraction._features import LayerFeatures, LayerSummary
from convergent.extraction._pooling import check_pooling
from convergent.extraction._projection import project, projection_matrix

__all__ = [
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
