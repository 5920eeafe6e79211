"""Models: where they come from, their weights, and how they are run.

Importing this package imports no deep-learning library; loading a model does.
"""

from convergent.models._baseline import Baseline, baseline
from convergent.models._load import load
from convergent.models._loaded import Batch, Encoding, LoadedBaseline, LoadedModel, TextEncoder
from convergent.models._manifest import WeightsFile, WeightsManifest, check_distinct, verify
from convergent.models._open_clip import OpenClipSource
from convergent.models._options import Options
from convergent.models._partial import Reading
from convergent.models._reference import Reference, check_reference, parse_reference
from convergent.models._request import LoadRequest
from convergent.models._source import Source, source
from convergent.models._timm import TimmSource
from convergent.models._tokens import FastTokenizer
from convergent.models._transformers import TransformersSource
from convergent.models._weights import make_manifest

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
