"""Data sets: stimuli, brain responses and regions, each behind a registered reader."""

from convergent.brains._check import DatasetReport, Finding, SubjectReport, check_dataset
from convergent.brains._dissimilarities import check_dissimilarities
from convergent.brains._items import align, join_items
from convergent.brains._nuisance import Nuisance
from convergent.brains._open import DatasetSettings, has_option, open_dataset
from convergent.brains._textgrid import Interval, TextGrid, Tier, read_textgrid
from convergent.brains._types import (
    DatasetReader,
    Design,
    Kind,
    Region,
    Responses,
    StimulusSet,
)

__all__ = [
    "DatasetReader",
    "DatasetReport",
    "DatasetSettings",
    "Design",
    "Finding",
    "Interval",
    "Kind",
    "Nuisance",
    "Region",
    "Responses",
    "StimulusSet",
    "SubjectReport",
    "TextGrid",
    "Tier",
    "align",
    "check_dataset",
    "check_dissimilarities",
    "has_option",
    "join_items",
    "open_dataset",
    "read_textgrid",
]
