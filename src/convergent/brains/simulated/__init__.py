"""Simulated data sets: real photographs and sentences, planted responses.

Stimuli are cut from photographs and documentation that installed Python packages carry, so nothing
is downloaded. Responses are made from the stimuli and their labels by a rule that no model of any
study takes part in; the truth is therefore known, and known to be independent of the models.
"""

from convergent.brains.simulated.reader import SimulatedScenes, SimulatedSentences
from convergent.brains.simulated.stimuli import (
    SCENES,
    TOPICS,
    Benchmark,
    Labelled,
    scene_tiles,
    topic_sentences,
)
from convergent.brains.simulated.subjects import AtlasRegion, RegionTruth, atlas

__all__ = [
    "SCENES",
    "TOPICS",
    "AtlasRegion",
    "Benchmark",
    "Labelled",
    "RegionTruth",
    "SimulatedScenes",
    "SimulatedSentences",
    "atlas",
    "scene_tiles",
    "topic_sentences",
]
