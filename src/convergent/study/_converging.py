"""Which layers of which models are compared over modalities."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from convergent.study._finals import final_models

if TYPE_CHECKING:
    from convergent.study._study import Study

_BINS = 8  # of relative depth


def converging_layers(study: Study, dataset: str) -> list[tuple[str, str, str]]:
    """(model, checkpoint, layer) that ``convergence`` compares over modalities.

    First one final model a family, in the order of the table, then a second one, and so on. Of each
    the layers nearest to the middles of eight bins of relative depth.
    """
    section = study.config.convergence
    if section is None:
        return []
    final = dict(final_models(study, dataset))
    seen: Counter[str] = Counter()
    ranked: list[tuple[int, str]] = []
    for key in filter(final.__contains__, study.models):
        family = study.models[key].family
        ranked.append((seen[family], key))
        seen[family] += 1
    found = []
    for _, key in sorted(ranked, key=lambda item: item[0])[: section.models]:
        layers = study.models[key].layers
        for middle in ((index + 0.5) / _BINS for index in range(_BINS)):
            nearest = min(layers, key=lambda layer: abs(layer.depth - middle))
            found.append((key, final[key], nearest.name))
    return list(dict.fromkeys(found))


def converging_files(study: Study) -> list[str]:
    """Stimuli and features that are compared over modalities."""
    section = study.config.convergence
    return [
        path
        for dataset in (section.datasets if section else ())
        for path in (
            study.paths.stimuli(dataset),
            *(study.paths.features(dataset, *key) for key in converging_layers(study, dataset)),
        )
    ]
