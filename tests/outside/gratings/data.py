"""The data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from convergent.brains import Region, Responses, StimulusSet
from convergent.brains.simulated import Benchmark

SIDE = 16


@dataclass(frozen=True, kw_only=True)
class Gratings:
    """Gratings of 8 orientations, and two subjects who respond to the orientation.

    Parameters
    ----------
    name : str
        Name of the data set in the study.
    table : str
        Text file with the number of gratings.
    scratch : str
        Folder for temporary files, of which there are none.
    """

    table: str
    scratch: str = ""
    name: str = "gratings"

    modality: ClassVar[str] = "vision"
    design: ClassVar[str] = "items"
    simulated: ClassVar[bool] = True
    location_options: ClassVar[frozenset[str]] = frozenset({"scratch"})
    file_options: ClassVar[frozenset[str]] = frozenset({"table"})
    stimuli_of_subjects: ClassVar[bool] = False

    def _images(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        number = int(Path(self.table).read_text())
        angle = np.arange(number) % 8 * np.pi / 8
        phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, number)
        y, x = np.mgrid[:SIDE, :SIDE] / SIDE * 6 * np.pi
        along = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y
        wave = np.sin(along + phase[:, None, None])
        return np.repeat(np.uint8(127 + 127 * wave)[..., None], 3, axis=3), angle

    def subjects(self) -> tuple[str, ...]:
        """Two subjects."""
        return ("s1", "s2")

    def regions(self) -> tuple[Region, ...]:
        """Two regions."""
        return (Region("L_V1", "L", "visual", 0.0), Region("L_V2", "L", "visual", 0.2))

    def stimuli(self) -> StimulusSet:
        """Draw the gratings."""
        images, _ = self._images(0)
        ids = np.array([f"g{index:03d}" for index in range(len(images))])
        return StimulusSet(self.name, "vision", "items", ids, images=images)

    def responses(self, subject: str) -> Responses:
        """Cosine and sine of the orientation, with noise of the subject's own."""
        stimuli, (_, angle) = self.stimuli(), self._images(0)
        clean = np.stack([np.cos(2 * angle), np.sin(2 * angle)] * 2, axis=1)
        noise = np.random.default_rng(self.subjects().index(subject)).normal(size=clean.shape)
        return Responses(
            self.name,
            subject,
            "items",
            (clean + 0.5 * noise).astype(np.float32),
            np.array(["L_V1", "L_V1", "L_V2", "L_V2"]),
            np.full(4, 0.6),
            stimulus_id=stimuli.ids,
        )

    def benchmark(self) -> Benchmark:
        """Give other gratings, with their orientation as class."""
        images, angle = self._images(1)
        ids = np.array([f"b{index:03d}" for index in range(len(images))])
        classes = np.round(angle * 8 / np.pi).astype(np.int64)
        stimuli = StimulusSet(f"{self.name}-benchmark", "vision", "items", ids, images=images)
        return Benchmark(stimuli, classes, tuple("abcdefgh"), np.arange(len(ids)) // 8 % 2)
