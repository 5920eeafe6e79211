"""Models: where they come from, their weights, and how they are run.

Importing this package imports no deep-learning library; loading a model does.
"""

from convergent.models.baselines import Baseline, baseline
from convergent.models.load import load
from convergent.models.manifest import WeightsFile, WeightsManifest, check_distinct, verify
from convergent.models.open_clip import OpenClipSource
from convergent.models.source import (
    Batch,
    Encoding,
    LoadedBaseline,
    LoadedModel,
    LoadRequest,
    Options,
    Source,
    TextEncoder,
    source,
)
from convergent.models.state import Reading
from convergent.models.timm import TimmSource
from convergent.models.tokens import FastTokenizer
from convergent.models.transformers import TransformersSource
from convergent.models.weights import Reference, check_reference, make_manifest, parse_reference

__all__ = [
    "Baseline",
    "Batch",
    "Encoding",
    "FastTokenizer",
    "LoadRequest",
    "LoadedBaseline",
    "LoadedModel",
    "OpenClipSource",
    "Options",
    "Reading",
    "Reference",
    "Source",
    "TextEncoder",
    "TimmSource",
    "TransformersSource",
    "WeightsFile",
    "WeightsManifest",
    "baseline",
    "check_distinct",
    "check_reference",
    "load",
    "make_manifest",
    "parse_reference",
    "source",
    "verify",
]
