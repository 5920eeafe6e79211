"""All errors of a study that can be found before anything runs; nothing is computed.

``convergent validate`` and ``convergent doctor`` report them together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from convergent.alignment import item_splits
from convergent.alignment.similarity import check_metrics
from convergent.brains import DatasetReader, StimulusSet, open_dataset, refuse_word_rate
from convergent.errors import ConfigError, ConvergentError, UnknownKeyError, did_you_mean
from convergent.evaluation import check_evaluations
from convergent.extraction import check_pooling
from convergent.models import Options, check_reference, load, parse_reference, source
from convergent.pipeline.evaluate import material_of
from convergent.pipeline.metrics import metric_mistakes
from convergent.pipeline.workers import worker_mistakes
from convergent.registry import CLAIMS, RECIPES
from convergent.study import Model, Study, resources
from convergent.training import recipe_options
from convergent.zoo import unpinned_mistake

Errors = list[ConvergentError]


def study_errors(study: Study, *, read: bool = True) -> Errors:
    """Find what is wrong with a study whose configuration and tables are well-formed.

    Parameters
    ----------
    study : Study
    read : bool
        Whether files of data sets and weights are looked at too.

    Returns
    -------
    list of ConvergentError
        In the order of the configuration; each is one line.
    """
    errors: Errors = [*resources.mistakes(study), *worker_mistakes(study.config.aggregation)]
    errors += CLAIMS.errors()  # every study asks for all claims
    _check_places(study, errors)
    _check_models(study, errors, read)
    _check_training(study, errors)
    readers = _check_datasets(study, errors, read)
    _check_metrics(study, errors, readers)
    _check_performance(study, errors, readers)
    return errors


def study_warnings(study: Study) -> list[str]:
    """What may be meant and is mostly a mistake, a line each."""
    sinks = [
        model.key
        for model in study.models.values()
        if (model.modality, model.attention, model.pooling) == ("language", "causal", "mean")
        and not model.is_control
        and model.preprocessing.get("chat") != "user"
        and model.preprocessing.get("skip_first_token") != "yes"
        and model.preprocessing.get("skip_tokens", "0") == "0"
    ]
    if not sinks:
        return []
    shown = ", ".join(sinks[:3]) + (", ..." if len(sinks) > 3 else "")
    return [
        f"{len(sinks)} causal models average their first token too ({shown}): attention is parked "
        "there, with a vector a hundred times as long, so that the mean tells the number of words; "
        "write skip_first_token=yes into the preprocessing column"
    ]


@contextmanager
def _noted(errors: Errors) -> Iterator[None]:
    try:
        yield
    except ConvergentError as error:
        errors.append(error)


def _check_places(study: Study, errors: Errors) -> None:
    folder = Path(study.paths.root)
    there = next((place for place in (folder, *folder.parents) if place.exists()), Path())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        errors.append(
            ConfigError(
                f"'results' is '{study.config.results}', and no file can be made in '{there}'",
                where=study.file,
                fix="name a folder that you may write to",
            )
        )
    image = study.config.container
    if image is not None and "://" not in image and not Path(image).exists():
        errors.append(
            ConfigError(
                f"'container' is '{image}', and there is no such image",
                where=study.file,
                fix="correct the path, or remove the key",
            )
        )


# ---- models --------------------------------------------------------------------------------------


def _check_models(study: Study, errors: Errors, read: bool) -> None:
    for model in study.models.values():
        with _noted(errors):
            if model.is_control:
                load(model, model.checkpoints[0], None, device="cpu")
                continue
            Options(model, source(model.source).options)
            for name in study.datasets_of(model.key):
                check_pooling(model, study.dataset(name).design)
            _check_references(model, read)
    with _noted(errors):
        unpinned = unpinned_mistake(study.models.values())
        if unpinned is not None:
            raise unpinned


def _check_references(model: Model, read: bool) -> None:
    for text in dict.fromkeys((model.reference, *(one.reference for one in model.checkpoints))):
        where = f"model '{model.key}' ({model.source_location})"
        if read:
            check_reference(text, where)
        else:
            parse_reference(text, where)


def _check_training(study: Study, errors: Errors) -> None:
    trained = {
        key: model.reference.removeprefix("trained:")
        for key, model in study.models.items()
        if study.trains(key)
    }
    for key, name in trained.items():
        with _noted(errors):
            RECIPES.load(name, study.models[key].source_location)
    for name, options in study.config.training.items():
        where = f"{study.file}, training"
        if name in RECIPES and name not in trained.values():
            errors.append(
                ConfigError(
                    f"no model of the study is trained with recipe '{name}'",
                    where=where,
                    fix=f"remove it, or give a model the reference trained:{name}",
                )
            )
        with _noted(errors):
            RECIPES.entry(name, where)
            recipe_options(name, options)


# ---- data sets and metrics -----------------------------------------------------------------------


def _check_datasets(study: Study, errors: Errors, read: bool) -> dict[str, DatasetReader]:
    readers = {}
    for name, config in study.config.datasets.items():
        with _noted(errors):
            readers[name] = reader = open_dataset(name, config)
            if read:
                stimuli = reader.stimuli()
                _check_folds(study, name, stimuli, errors)
                refuse_word_rate(stimuli)
    return readers


def _check_folds(study: Study, name: str, stimuli: StimulusSet, errors: Errors) -> None:
    """Whether a data set has enough items for the splits and the metrics."""
    if stimuli.design != "items":
        return
    fit = study.config.fit
    count = train = len(stimuli.answered)
    for key, number in (("folds", fit.folds), ("inner_folds", fit.inner_folds)):
        if stimuli.split is not None and number > count:  # of a fixed split, which has no folds
            errors.append(
                ConfigError(
                    f"fit.{key} is {number}, and data set '{name}' has {count} items",
                    where=study.file,
                    fix="use fewer folds",
                )
            )
    with _noted(errors):
        if stimuli.split is None:
            groups = stimuli.group if stimuli.item is None else None
            splits = item_splits(stimuli.answered, groups, folds=fit.folds, seed=fit.seed)
            train = min(split.train.size for split in splits)
        elif stimuli.item is None:
            train = int((stimuli.split == "train").sum())
        if fit.selection == "folds" and fit.inner_folds > train:
            raise ConfigError(
                f"fit.inner_folds is {fit.inner_folds}, and the training part of data set "
                f"'{name}' has {train} items",
                where=study.file,
                fix="use fewer inner folds",
            )
    compared = min(count, fit.similarity_stimuli or count)
    k = (fit.metrics.get("knn") or {}).get("k")
    if isinstance(k, int) and k >= compared:
        errors.append(
            ConfigError(
                f"fit.metrics.knn.k is {k}, and {compared} items of data set '{name}' are compared",
                where=study.file,
                fix=f"use a k of at most {compared - 1}",
            )
        )


def _check_metrics(study: Study, errors: Errors, readers: dict[str, DatasetReader]) -> None:
    for name, options in study.config.fit.similarities.items():
        with _noted(errors):
            check_metrics({name: options})
    if len(readers) == len(study.config.datasets):  # what is wrong with the others is reported
        errors += metric_mistakes(study)


# ---- performance ---------------------------------------------------------------------------------


def _check_performance(study: Study, errors: Errors, readers: dict[str, DatasetReader]) -> None:
    settings = study.config.performance
    evaluated = [study.models[key] for key in study.evaluated_models()]
    with_benchmark = {
        study.dataset(name).modality
        for name, reader in readers.items()
        if hasattr(reader, "benchmark")
    }
    for name in settings.evaluations:
        with _noted(errors):
            check_evaluations(
                [name], material_of(study), models=evaluated, benchmarks=with_benchmark
            )
    if not settings.evaluations:
        with _noted(errors):
            check_evaluations([], material_of(study))
    for modality, named in settings.benchmarks.items():
        published = {
            score.benchmark
            for score in study.published
            if study.models[score.model].modality == modality
        }
        known = sorted(published.union(settings.evaluations))
        for benchmark in named:
            if benchmark not in known:
                errors.append(
                    UnknownKeyError(
                        f"performance.benchmarks names '{benchmark}', and no {modality} model of "
                        "the study has such a score",
                        where=study.file,
                        fix=did_you_mean(benchmark, known),
                    )
                )
