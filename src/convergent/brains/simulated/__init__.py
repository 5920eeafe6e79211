"""Simulated data sets: real photographs and sentences, planted responses.

Stimuli are cut from photographs and documentation that installed Python packages carry, so nothing
is downloaded. Responses are made from the stimuli and their labels by a rule that no model of any
study takes part in; the truth is therefore known, and known to be independent of the models.
"""

from convergent.brains.simulated._atlas import AtlasRegion, atlas
from convergent.brains.simulated._labelled import Benchmark, Labelled
from convergent.brains.simulated._photographs import SCENES, scene_tiles
from convergent.brains.simulated._plan import RegionTruth
from convergent.brains.simulated._reader import SimulatedScenes, SimulatedSentences
from convergent.brains.simulated._sentences import TOPICS, topic_sentences

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
