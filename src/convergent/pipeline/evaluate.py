"""Performance of a model's checkpoints, measured on stimuli or files that no subject saw."""

from __future__ import annotations

import csv
import logging
from functools import partial
from pathlib import Path

from convergent.errors import ConfigError
from convergent.evaluation import Material
from convergent.evaluation import evaluate as measure
from convergent.models import LoadedBaseline, LoadedModel
from convergent.pipeline.data import reader_of
from convergent.pipeline.weights import load_checkpoint
from convergent.store import publish
from convergent.study import Performance, Study

log = logging.getLogger(__name__)

COLUMNS = ("model", "checkpoint", "benchmark", "score", "source")


def evaluate(study: Study, model: str) -> None:
    """Run the study's evaluations on every checkpoint of a model and write their scores.

    Raises
    ------
    ConfigError
        The study measures nothing, or the model is a baseline.
    DataError
        There is nothing to measure an evaluation on.
    """
    row = study.model(model)
    names = sorted(study.config.performance.evaluations)
    if row.is_control or not names:
        raise ConfigError(
            f"nothing to evaluate for '{model}'",
            where=study.file,
            fix="list evaluations under 'performance', and name a model with weights",
        )
    readers = [reader_of(study, dataset) for dataset in study.datasets_of(model)]
    with_benchmark = [reader for reader in readers if hasattr(reader, "benchmark")]
    scores: list[Performance] = []
    for checkpoint in row.checkpoints:
        scores += measure(
            names,
            row,
            checkpoint,
            open_network=partial(_open, study, model, checkpoint.name),
            reader=with_benchmark[0] if with_benchmark else None,
            material=material_of(study),
            batch_size=study.config.extraction.fixed_batch_size,
        )
    with (
        publish(study.paths.performance(model)) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as handle,
    ):
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(score, name) for name in COLUMNS] for score in scores)


def material_of(study: Study) -> Material:
    """Files that the study measures performance on."""
    settings = study.config.performance
    named = {"text": settings.text, "images": settings.images, "classes": settings.classes}
    return Material(
        **{key: Path(value).expanduser() for key, value in named.items() if value},
        templates=settings.templates,
        window=settings.window,
        stride=settings.stride,
    )


def _open(study: Study, model: str, checkpoint: str, head: bool) -> LoadedModel:
    loaded, _ = load_checkpoint(study, model, checkpoint, head=head)
    assert not isinstance(loaded, LoadedBaseline)
    return loaded
