"""The stores that a study may have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from convergent.study import Study, Unit


@dataclass(frozen=True, slots=True)
class Item:
    """A store to be read."""

    path: str
    kind: str
    keys: tuple[str, ...]
    subject: str = ""

    @property
    def model(self) -> str:
        """Its model; empty for stimuli and responses."""
        return self.keys[1] if len(self.keys) > 1 else ""


def sources_of(study: Study, models: Iterable[str]) -> Iterator[Item]:
    """What alignment is made from: stimuli, responses, and the features of some models."""
    paths = study.paths
    for dataset, config in study.config.datasets.items():
        yield Item(paths.stimuli(dataset), "stimuli", (dataset,))
        for subject in config.subjects:
            yield Item(paths.responses(dataset, subject), "responses", (dataset,), subject)
    for model in models:
        for keys in study.members(Unit(model)):
            yield Item(paths.features(*keys), "features", keys)


def fits_of(study: Study, models: Iterable[str]) -> Iterator[Item]:
    """Alignment stores of some models."""
    for model in models:
        for keys in study.members(Unit(model)):
            for subject in study.dataset(keys[0]).subjects:
                yield Item(study.paths.alignment(*keys, subject), "alignment", keys, subject)
