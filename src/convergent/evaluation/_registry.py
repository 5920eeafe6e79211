"""Evaluations by name, and how one is run on a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from convergent.brains._types import DatasetReader
from convergent.errors import ConfigError, NumericalError, UnknownKeyError, did_you_mean
from convergent.evaluation._material import Material, image_folder, read_evaluated
from convergent.evaluation._subject import OpenNetwork, Subject
from convergent.study.types import Checkpoint, Model, Performance

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Needs:
    """What an evaluation is measured on: files of the study, or a data set's benchmark.

    Attributes
    ----------
    text : bool
        The study's text; without one, the benchmark's texts.
    images : bool
        The study's labelled images; there is nothing else.
    """

    text: bool = False
    images: bool = False


Measure = Callable[[Subject], tuple[float, str] | None]


@dataclass(frozen=True)
class Evaluation:
    """A registered evaluation.

    Attributes
    ----------
    name : str
    measure : callable
        ``measure(subject)``: (score, source), the source saying how it was measured; None if
        the network turns out to have nothing to measure.
    applies : callable
        Whether a model can be measured so at all.
    needs : Needs
    """

    name: str
    measure: Measure
    applies: Callable[[Model], bool]
    needs: Needs


_EVALUATIONS: dict[str, Evaluation] = {}


def register_evaluation(
    name: str,
    applies: Callable[[Model], bool] = lambda model: not model.is_control,
    *,
    needs: Needs = Needs(),
) -> Callable[[Measure], Measure]:
    """Register a function as the evaluation called ``name``.

    Parameters
    ----------
    name : str
        As listed in a study's ``performance: evaluations:``.
    applies : callable
        ``applies(model)``; all models with weights unless given.
    needs : Needs
        A data set's benchmark unless given.

    Raises
    ------
    ConfigError
        Another evaluation has that name.
    """

    def register(measure: Measure) -> Measure:
        if name in _EVALUATIONS:
            raise ConfigError(f"evaluation '{name}' is registered twice", fix="choose another name")
        _EVALUATIONS[name] = Evaluation(name, measure, applies, needs)
        return measure

    return register


def evaluation_names() -> list[str]:
    """Names of all evaluations, sorted."""
    return sorted(_known())


def check_evaluations(
    names: Sequence[str],
    material: Material,
    *,
    models: Iterable[Model] = (),
    benchmarks: Container[str] = (),
) -> None:
    """Check names, and that what they are measured on is there, before anything runs.

    Parameters
    ----------
    names : sequence of str
    material : Material
    models : iterable of Model
        That are evaluated.
    benchmarks : container of str
        Modalities for which a data set of the study has a ``benchmark()``.

    Raises
    ------
    UnknownKeyError
        There is no such evaluation.
    ConfigError, DataError
        A file is not named or not there, or a model has nothing to be measured on.
    """
    for name in names:
        evaluation = _evaluation(name)
        if evaluation.needs.images:
            if material.images is None:
                raise ConfigError(
                    f"evaluation '{name}' needs labelled images",
                    fix="set performance.images to a folder of one folder a class",
                )
            continue
        if evaluation.needs.text and material.text is not None:
            continue
        for model in models:
            if evaluation.applies(model) and model.modality not in benchmarks:
                raise ConfigError(
                    f"evaluation '{name}' has nothing to measure model '{model.key}' on: no "
                    f"{model.modality} data set of the study has a benchmark",
                    where="performance.evaluations",
                    fix="leave the evaluation out, or set performance.text for evaluations of text",
                )
    if material.images is not None:
        image_folder(material.images, material.classes)
    if material.text is not None:
        read_evaluated(material.text)


def evaluate(
    names: Sequence[str],
    model: Model,
    checkpoint: Checkpoint,
    *,
    open_network: OpenNetwork,
    reader: DatasetReader | None = None,
    material: Material | None = None,
    batch_size: int = 64,
) -> list[Performance]:
    """Measure a checkpoint.

    Parameters
    ----------
    names : sequence of str
        Evaluations; those that do not apply to the model are left out.
    model, checkpoint : Model, Checkpoint
    open_network : callable
        ``open_network(head)``: what `convergent.models.load` returns for that ``head``.
    reader : DatasetReader, optional
        A data set of the model's modality with a ``benchmark()``.
    material : Material, optional
        The study's own text and images.
    batch_size : int

    Returns
    -------
    list of Performance
        In the order of ``names``; higher is better for accuracies, lower for losses and bits.

    Raises
    ------
    UnknownKeyError
        There is no such evaluation.
    DataError
        There is nothing to measure it on.
    NumericalError
        A score is NaN or infinite.
    """
    wanted = [_evaluation(name) for name in names]
    material = material or Material()
    subject = Subject(model, checkpoint, open_network, reader, material, batch_size)
    scores = []
    for evaluation in wanted:
        found = evaluation.measure(subject) if evaluation.applies(model) else None
        if found is None:
            log.info("%s: evaluation '%s' does not apply", subject.where, evaluation.name)
            continue
        score, source = found
        if not abs(score) < float("inf"):
            raise NumericalError(
                f"evaluation '{evaluation.name}' gave {score}",
                where=subject.where,
                fix="check the layer's features: they may be constant or not finite",
            )
        scores.append(Performance(model.key, checkpoint.name, evaluation.name, score, source))
    return scores


def _evaluation(name: str) -> Evaluation:
    known = _known()
    if name not in known:
        raise UnknownKeyError(f"unknown evaluation '{name}'", fix=did_you_mean(name, known))
    return known[name]


def _known() -> dict[str, Evaluation]:
    # The built-in evaluations register themselves when they are imported.
    from convergent.evaluation import (  # noqa: F401
        _classification,
        _language_modelling,
        _probing,
    )

    return _EVALUATIONS
