"""Performance of a model's checkpoints, measured on stimuli that no subject saw."""

from __future__ import annotations

import csv
import logging

from convergent.device import resolve_device
from convergent.errors import ConfigError
from convergent.evaluation import evaluate as measure
from convergent.models import LoadedBaseline, load
from convergent.stages.data import reader_of
from convergent.stages.weights import read_manifest
from convergent.store import publish
from convergent.study import Performance, Study

log = logging.getLogger(__name__)

COLUMNS = ("model", "checkpoint", "benchmark", "score", "source")


def evaluate(study: Study, model: str) -> None:
    """Run the study's evaluations on every checkpoint of a model and write their scores.

    Raises
    ------
    ConfigError
        The study measures nothing, or no data set of the model's modality has a benchmark.
    """
    row = study.model(model)
    names = study.config.performance.evaluations
    if row.is_control or not names:
        raise ConfigError(
            f"nothing to evaluate for '{model}'",
            where=study.file,
            fix="list evaluations under 'performance', and name a model with weights",
        )
    readers = [reader_of(study, dataset) for dataset in study.datasets_of(model)]
    with_benchmark = [reader for reader in readers if hasattr(reader, "benchmark")]
    if not with_benchmark:
        raise ConfigError(
            f"no {row.modality} data set of the study has labelled stimuli",
            where=study.file,
            fix="leave 'performance.evaluations' empty and give published scores",
        )
    device = resolve_device(study.config.extraction.device)
    scores: list[Performance] = []
    for checkpoint in row.checkpoints:
        manifest = read_manifest(study, model, checkpoint.name)
        loaded = load(row, checkpoint, manifest, device=device)
        assert manifest is not None
        assert not isinstance(loaded, LoadedBaseline)
        scores += measure(
            names,
            row,
            checkpoint,
            loaded=loaded,
            manifest=manifest,
            reader=with_benchmark[0],
            batch_size=study.config.extraction.fixed_batch_size,
        )
    with (
        publish(study.paths.performance(model)) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as handle,
    ):
        writer = csv.writer(handle, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([getattr(score, name) for name in COLUMNS] for score in scores)
