"""Parts of a study as files: final models, layers compared over modalities, targets."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from convergent.errors import ConfigError, UnknownKeyError
from convergent.study.types import Checkpoint, Model

if TYPE_CHECKING:
    from convergent.study.study import Study


def final_models(study: Study, dataset: str) -> list[tuple[str, str]]:
    """(model, checkpoint) of the final trained models that a data set has, sorted by key.

    Parameters
    ----------
    study : Study
    dataset : str

    Returns
    -------
    list of (str, str)
        Neither baselines nor twins with random weights; one checkpoint a model.
    """
    modality = study.dataset(dataset).modality
    return [
        (key, checkpoint.name)
        for key, model in sorted(study.models.items())
        if model.modality == modality and not model.is_control
        for checkpoint in model.checkpoints
        if checkpoint.final and checkpoint.role == "trained"
    ]


def final_scores(study: Study, dataset: str) -> list[str]:
    """Alignment stores of all layers of the final trained models."""
    return [
        study.paths.alignment(dataset, model, checkpoint, layer.name, subject)
        for model, checkpoint in final_models(study, dataset)
        for layer in study.model(model).layers
        for subject in study.dataset(dataset).subjects
    ]


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


def targets(
    study: Study,
    *,
    family: str | None = None,
    model: str | None = None,
    checkpoint: str | None = None,
    steps: str | None = None,
    layer: str | None = None,
    dataset: str | None = None,
    subject: str | None = None,
) -> list[str]:
    """Alignment stores of a part of a study.

    Parameters
    ----------
    study : Study
    family, model, checkpoint, layer, dataset, subject : str, optional
        What to keep; checkpoint and layer need a model.
    steps : str, optional
        ``low:high``, both included, and either left out: checkpoints of these training steps.

    Returns
    -------
    list of str
        With `fit_granularity: layer` and no subject, one store per layer: its job makes those of
        all subjects.

    Raises
    ------
    UnknownKeyError, ConfigError
        A name is unknown, or nothing is left.
    """
    _check(study, family, model, checkpoint, layer, dataset, subject)
    bounds = _bounds(steps) if steps is not None else None
    one_each = study.config.granularity == "layer" and study.config.fit_granularity == "layer"
    found: list[str] = []
    for row in [study.model(model)] if model else list(study.models.values()):
        if family is not None and row.family != family:
            continue
        layers = [layer] if layer else list(row.layer_by_name)
        for name in study.datasets_of(row.key):
            subjects = study.dataset(name).subjects
            if dataset not in (None, name) or (subject and subject not in subjects):
                continue
            asked = (subject,) if subject else subjects[:1] if one_each else subjects
            found += [
                study.paths.alignment(name, row.key, one, each, who)
                for one in _checkpoints(row, checkpoint, bounds)
                for each in layers
                for who in asked
            ]
    if not found:
        raise ConfigError(
            "no fit of the study is that", where=study.file, fix="ask for less: `convergent ls`"
        )
    return found


def _check(
    study: Study,
    family: str | None,
    model: str | None,
    checkpoint: str | None,
    layer: str | None,
    dataset: str | None,
    subject: str | None,
) -> None:
    if model is None and (checkpoint or layer):
        raise ConfigError("a checkpoint or layer is one of a model", fix="add --model")
    if family:
        study.family(family)
    if model and checkpoint:
        study.checkpoint(model, checkpoint)
    if model and layer:
        study.layer(model, layer)
    if dataset:
        study.dataset(dataset)
    if subject:
        names = [dataset] if dataset else list(study.config.datasets)
        if not any(subject in study.dataset(name).subjects for name in names):
            raise UnknownKeyError(f"no data set has a subject '{subject}'", where=study.file)


def _bounds(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        bounds = float(low or "-inf"), float((high if colon else low) or "inf")
    except ValueError:
        raise ConfigError(f"'{text}' is no range of steps", fix="for example 0:1000") from None
    return bounds


def _checkpoints(
    model: Model, checkpoint: str | None, bounds: tuple[float, float] | None
) -> list[str]:
    def meant(one: Checkpoint) -> bool:
        if checkpoint not in (None, one.name):
            return False
        return bounds is None or (one.step is not None and bounds[0] <= one.step <= bounds[1])

    return [one.name for one in model.checkpoints if meant(one)]
