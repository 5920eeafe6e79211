"""What can be asked of patterns, and what of dissimilarities alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from convergent.brains import DatasetReader, Responses
from convergent.errors import ConfigError, ConvergentError, did_you_mean
from convergent.pipeline.data import reader_of
from convergent.study import FitConfig, Study


def compared(brain: Responses) -> Any:
    """Responses as similarity metrics take them, dissimilarities marked as such."""
    if brain.kind == "patterns":
        return brain.data
    from convergent.alignment.similarity import Dissimilarities

    return Dissimilarities(np.asarray(brain.data))


def check_metrics_of(brain: Responses, config: FitConfig) -> None:
    """Refuse metrics that need patterns where there are dissimilarities.

    Raises
    ------
    ConfigError
    """
    for mistake in _of_kind(brain.dataset, brain.kind, config):
        raise mistake


def metric_mistakes(study: Study) -> list[ConvergentError]:
    """Metrics that a data set of the study cannot answer to; nothing is read from disk."""
    config = study.config.fit
    readers = {name: reader_of(study, name) for name in study.config.datasets}
    mistakes: list[ConvergentError] = []
    for name, reader in readers.items():
        mistakes += _of_kind(name, getattr(reader, "kind", "patterns"), config)
    if config.unique is not None:
        mistakes += _of_nuisance(study, readers, config.unique.nuisance)
    return mistakes


def _of_kind(dataset: str, kind: str, config: FitConfig) -> list[ConfigError]:
    if kind == "patterns":
        return []
    from convergent.alignment.similarity import compares_dissimilarities, of_dissimilarities

    known = of_dissimilarities()
    return [
        ConfigError(
            f"metric '{name}' needs responses, and the data set has dissimilarities of items alone",
            where=f"data set '{dataset}', fit.metrics",
            fix=f"use {', '.join(known)} in a study of its own",
        )
        for name in config.metrics
        if not compares_dissimilarities(name)
    ]


def _of_nuisance(
    study: Study, readers: dict[str, DatasetReader], names: tuple[str, ...]
) -> list[ConvergentError]:
    given: dict[str, tuple[str, ...]] = {
        dataset: getattr(reader, "nuisance_names", ()) for dataset, reader in readers.items()
    }
    every = sorted({name for known in given.values() for name in known})
    where = "fit.metrics.unique"
    mistakes: list[ConvergentError] = [
        ConfigError(
            f"no data set gives a regressor '{name}'", where=where, fix=did_you_mean(name, every)
        )
        for name in names
        if name not in every
    ]
    mistakes += [
        ConfigError(
            "nothing that 'unique' names is there to add to",
            where=f"data set '{dataset}', {where}",
            fix=f"name baselines of its modality, or its regressors: {', '.join(known) or 'none'}",
        )
        for dataset, known in given.items()
        if not set(names) & set(known) and not study.nuisance_baselines(dataset)
    ]
    return mistakes
