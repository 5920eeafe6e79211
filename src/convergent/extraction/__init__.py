"""Extraction: forward passes to features, one vector a stimulus and layer.

Importing this package imports no deep-learning library; extracting does.
"""

from convergent.extraction._extract import extract
from convergent.extraction._features import LayerFeatures
from convergent.extraction._pooling import check_pooling
from convergent.extraction._projection import project, projection_matrix

__all__ = [
    "LayerFeatures",
    "check_pooling",
    "extract",
    "project",
    "projection_matrix",
]
