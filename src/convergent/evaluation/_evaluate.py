"""Evaluations by name, and how one is run on a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass

from convergent.brains.types import DatasetReader
from convergent.errors import ConfigError, NumericalError
from convergent.evaluation._material import Material, image_folder, read_evaluated
from convergent.evaluation._subject import OpenNetwork, Subject
from convergent.registry import EVALUATIONS
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
    """A way to measure performance.

    Attributes
    ----------
    measure : callable
        ``measure(subject)``: (score, source), the source saying how it was measured; None if
        the network turns out to have nothing to measure.
    applies : callable
        Whether a model can be measured so at all.
    needs : Needs
    """

    measure: Measure
    applies: Callable[[Model], bool]
    needs: Needs

    def __call__(self, subject: Subject) -> tuple[float, str] | None:
        """Measure a checkpoint."""
        return self.measure(subject)


def _has_weights(model: Model) -> bool:
    return not model.is_control


def evaluation(
    applies: Callable[[Model], bool] = _has_weights, *, needs: Needs = Needs()
) -> Callable[[Measure], Evaluation]:
    """Make an evaluation of a function; its name is that in `convergent.registry.EVALUATIONS`.

    Parameters
    ----------
    applies : callable
        ``applies(model)``; all models with weights unless given.
    needs : Needs
        A data set's benchmark unless given.
    """
    return lambda measure: Evaluation(measure, applies, needs)


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
        one: Evaluation = EVALUATIONS.load(name)
        if one.needs.images:
            if material.images is None:
                raise ConfigError(
                    f"evaluation '{name}' needs labelled images",
                    fix="set performance.images to a folder of one folder a class",
                )
            continue
        if one.needs.text and material.text is not None:
            continue
        for model in models:
            if one.applies(model) and model.modality not in benchmarks:
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
    wanted: dict[str, Evaluation] = {name: EVALUATIONS.load(name) for name in names}
    material = material or Material()
    subject = Subject(model, checkpoint, open_network, reader, material, batch_size)
    scores = []
    for name, one in wanted.items():
        found = one(subject) if one.applies(model) else None
        if found is None:
            log.info("%s: evaluation '%s' does not apply", subject.where, name)
            continue
        score, source = found
        if not abs(score) < float("inf"):
            raise NumericalError(
                f"evaluation '{name}' gave {score}",
                where=subject.where,
                fix="check the layer's features: they may be constant or not finite",
            )
        scores.append(Performance(model.key, checkpoint.name, name, score, source))
    return scores
