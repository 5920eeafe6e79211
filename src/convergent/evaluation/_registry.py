"""Evaluations by name, and how one is run on a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convergent.brains._types import DatasetReader
from convergent.brains.simulated import Benchmark
from convergent.errors import ConfigError, DataError, NumericalError, UnknownKeyError, did_you_mean
from convergent.evaluation._material import Material, image_folder
from convergent.evaluation._probe import Probe, linear_probe
from convergent.extraction import extract
from convergent.models import LoadedModel
from convergent.study._types import Checkpoint, Model, Performance

log = logging.getLogger(__name__)

T = TypeVar("T")
OpenNetwork = Callable[[bool], LoadedModel]


class Subject:
    """What is evaluated, and on what.

    Parameters
    ----------
    model, checkpoint : Model, Checkpoint
    open_network : callable
        ``open_network(head)``: the network as for extraction, or a language model with the
        head that predicts the next token.
    reader : DatasetReader or None
        A data set of the model's modality with a ``benchmark()``, if the study has one.
    material : Material
    batch_size : int
    """

    def __init__(
        self,
        model: Model,
        checkpoint: Checkpoint,
        open_network: OpenNetwork,
        reader: DatasetReader | None,
        material: Material,
        batch_size: int,
    ) -> None:
        self.model, self.checkpoint = model, checkpoint
        self.material, self.batch_size = material, batch_size
        self._reader, self._open = reader, open_network
        self._network: tuple[bool, LoadedModel] | None = None
        self._cache: dict[str, Any] = {}

    @property
    def where(self) -> str:
        """For messages."""
        return f"model '{self.model.key}', checkpoint '{self.checkpoint.name}'"

    def network(self, *, head: bool = False) -> LoadedModel:
        """Give the network; at most one is in memory at a time."""
        if self._network is None or self._network[0] != head:
            self._network = None
            self._network = (head, self._open(head))
        return self._network[1]

    def cached(self, name: str, compute: Callable[[], T]) -> T:
        """Compute something once for all evaluations."""
        if name not in self._cache:
            self._cache[name] = compute()
        found: T = self._cache[name]
        return found

    @property
    def benchmark(self) -> Benchmark:
        """Labelled stimuli of the data set.

        Raises
        ------
        DataError
            The study has none of the model's modality.
        """
        return self.cached("benchmark", lambda: _benchmark(self._reader, self.model))

    @property
    def last_layer(self) -> NDArray[np.float32]:
        """Features of the last listed layer for the benchmark, (stimulus, feature); read once.

        Raises
        ------
        NumericalError
            They are not finite.
        """
        return self.cached("last layer", self._last_layer)

    @property
    def probe(self) -> Probe:
        """Linear probe of the last listed layer; fitted once for all evaluations."""
        return self.cached(
            "probe",
            lambda: linear_probe(self.last_layer, self.benchmark.labels, self.benchmark.half),
        )

    def _last_layer(self) -> NDArray[np.float32]:
        layer = self.model.layers[-1]
        stimuli = self.benchmark.stimuli
        found = extract(
            self.model,
            self.checkpoint,
            [layer],
            stimuli,
            loaded=self.network(),
            batch_size=self.batch_size,
        )[layer.name]
        if found.status != "ok":
            raise NumericalError(
                f"layer '{layer.name}' cannot be probed: {found.reason}",
                where=self.where,
                fix="list another layer last, or leave the model out",
            )
        return found.features


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


def check_evaluations(names: Sequence[str], material: Material) -> None:
    """Check names, and that the files which they need are there, before anything runs.

    Raises
    ------
    UnknownKeyError
        There is no such evaluation.
    ConfigError, DataError
        A file is not named or not there.
    """
    for name in names:
        if _evaluation(name).needs.images and material.images is None:
            raise ConfigError(
                f"evaluation '{name}' needs labelled images",
                fix="set performance.images to a folder of one folder a class",
            )
    if material.images is not None:
        image_folder(material.images, material.classes)
    if material.text is not None and not material.text.is_file():
        raise DataError("no such text", where=str(material.text), fix="see performance.text")


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


def _benchmark(reader: DatasetReader | None, model: Model) -> Benchmark:
    make = getattr(reader, "benchmark", None)
    if reader is None or make is None or reader.modality != model.modality:
        having = "no data set" if reader is None else type(reader).__name__
        raise DataError(
            f"no benchmark for {model.modality} in {having}",
            where=f"model '{model.key}'",
            fix="evaluate on a data set of this modality whose reader has benchmark(), on files "
            "of your own (performance.text, performance.images), or give published scores",
        )
    found: Benchmark = make()
    return found


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
