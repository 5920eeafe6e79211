"""Data sets: stimuli, brain responses and regions, each behind a registered reader."""

from convergent.brains.check import (
    DatasetReport,
    Finding,
    PictureReport,
    StoryTime,
    SubjectReport,
    check_dataset,
    refuse_story_time,
    refuse_word_rate,
    story_time,
)
from convergent.brains.items import align, join_items
from convergent.brains.open import DatasetSettings, has_option, open_dataset
from convergent.brains.textgrid import Interval, TextGrid, Tier, read_textgrid
from convergent.brains.types import (
    DatasetReader,
    Design,
    Kind,
    Nuisance,
    Region,
    Responses,
    StimulusSet,
    check_dissimilarities,
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
    "PictureReport",
    "Region",
    "Responses",
    "StimulusSet",
    "StoryTime",
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
    "refuse_story_time",
    "refuse_word_rate",
    "story_time",
]
