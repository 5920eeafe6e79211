"""Performance of a model's checkpoints, measured on stimuli or files that no subject saw."""

from __future__ import annotations

import csv
import logging
from functools import partial
from pathlib import Path

from convergent.errors import ConfigError, StoreError, TableError
from convergent.evaluation import Material
from convergent.evaluation import evaluate as measure
from convergent.models import LoadedBaseline, LoadedModel
from convergent.pipeline.data import reader_of
from convergent.pipeline.weights import load_checkpoint
from convergent.store import StoreRequest, open_file, publish
from convergent.store.archive import named_errors
from convergent.store.request import comment, first_line
from convergent.study import Performance, Study
from convergent.study.tables import read_rows

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
    request = StoreRequest.of(study, "evaluate", {"model": model})
    with (
        publish(request.path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as handle,
    ):
        handle.write(comment(request.attrs))
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(score, name) for name in COLUMNS] for score in scores)


def read_scores(study: Study, model: str) -> list[Performance]:
    """Read the scores that `evaluate` wrote for a model.

    Raises
    ------
    StoreError
        Missing or damaged, or of another model or other settings.
    """
    request = StoreRequest.of(study, "evaluate", {"model": model})
    with named_errors(request.where, "table of scores"), open_file(request.path) as file:
        request.check(first_line(file.read()))
    try:
        rows = read_rows(Path(request.path), COLUMNS)
        scores = [
            Performance(**{**row.values, "score": row.number("score", float)})  # type: ignore[arg-type]
            for row in rows
        ]
    except TableError as error:
        raise StoreError(
            f"the scores are damaged ({error.what})",
            where=request.where,
            fix=f"delete it and run `{request.command}`",
        ) from None
    strange = [one for one in scores if one.model != model]
    if strange:
        what = f"it holds a score of model '{strange[0].model}'"
        raise StoreError(what, where=request.where, fix=f"delete it and run `{request.command}`")
    return scores


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
