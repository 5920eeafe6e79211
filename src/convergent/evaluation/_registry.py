"""Evaluations by name, and how one is run on a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from convergent.brains._types import DatasetReader
from convergent.brains.simulated import Benchmark
from convergent.errors import ConfigError, DataError, NumericalError, UnknownKeyError, did_you_mean
from convergent.evaluation._probe import Probe, linear_probe
from convergent.extraction import extract
from convergent.models import LoadedModel, WeightsManifest
from convergent.study._types import Checkpoint, Model, Performance


@dataclass(frozen=True)
class Subject:
    """What is evaluated, and on what.

    Attributes
    ----------
    model, checkpoint : Model, Checkpoint
    loaded : LoadedModel
        As for extraction.
    manifest : WeightsManifest
        Where its weights are: language heads are read from there.
    benchmark : Benchmark
    batch_size : int
    """

    model: Model
    checkpoint: Checkpoint
    loaded: LoadedModel
    manifest: WeightsManifest
    benchmark: Benchmark
    batch_size: int

    @property
    def where(self) -> str:
        """For messages."""
        return f"model '{self.model.key}', checkpoint '{self.checkpoint.name}'"

    @cached_property
    def last_layer(self) -> NDArray[np.float32]:
        """Features of the last listed layer for the benchmark, (stimulus, feature); read once.

        Raises
        ------
        NumericalError
            They are not finite.
        """
        layer = self.model.layers[-1]
        found = extract(
            self.model,
            self.checkpoint,
            [layer],
            self.benchmark.stimuli,
            loaded=self.loaded,
            batch_size=self.batch_size,
        )[layer.name]
        if found.status != "ok":
            raise NumericalError(
                f"layer '{layer.name}' cannot be probed: {found.reason}",
                where=self.where,
                fix="list another layer last, or leave the model out",
            )
        return found.features

    @cached_property
    def probe(self) -> Probe:
        """Linear probe of the last listed layer; fitted once for all evaluations."""
        return linear_probe(self.last_layer, self.benchmark.labels, self.benchmark.half)


@dataclass(frozen=True)
class Evaluation:
    """A registered evaluation.

    Attributes
    ----------
    name : str
    measure : callable
        ``measure(subject)``: (score, source), the source saying how it was measured.
    applies : callable
        Whether a model can be measured so at all.
    """

    name: str
    measure: Callable[[Subject], tuple[float, str]]
    applies: Callable[[Model], bool]


_EVALUATIONS: dict[str, Evaluation] = {}

Measure = Callable[[Subject], tuple[float, str]]


def register_evaluation(
    name: str, applies: Callable[[Model], bool] = lambda model: not model.is_control
) -> Callable[[Measure], Measure]:
    """Register a function as the evaluation called ``name``.

    Parameters
    ----------
    name : str
        As listed in a study's ``performance: evaluations:``.
    applies : callable
        ``applies(model)``; all models with weights unless given.

    Raises
    ------
    ConfigError
        Another evaluation has that name.
    """

    def register(measure: Measure) -> Measure:
        if name in _EVALUATIONS:
            raise ConfigError(f"evaluation '{name}' is registered twice", fix="choose another name")
        _EVALUATIONS[name] = Evaluation(name, measure, applies)
        return measure

    return register


def evaluation_names() -> list[str]:
    """Names of all evaluations, sorted."""
    return sorted(_known())


def evaluate(
    names: Sequence[str],
    model: Model,
    checkpoint: Checkpoint,
    *,
    loaded: LoadedModel,
    manifest: WeightsManifest,
    reader: DatasetReader,
    batch_size: int = 64,
) -> list[Performance]:
    """Measure a checkpoint.

    Parameters
    ----------
    names : sequence of str
        Evaluations; those that do not apply to the model are left out.
    model, checkpoint : Model, Checkpoint
    loaded : LoadedModel
        What `convergent.models.load` returned.
    manifest : WeightsManifest
    reader : DatasetReader
        A data set of the model's modality with a ``benchmark()``.
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
        The data set has no benchmark, or one of another modality.
    NumericalError
        A score is NaN or infinite.
    """
    wanted = [_evaluation(name) for name in names]
    applicable = [evaluation for evaluation in wanted if evaluation.applies(model)]
    if not applicable:
        return []
    subject = Subject(model, checkpoint, loaded, manifest, _benchmark(reader, model), batch_size)
    scores = []
    for evaluation in applicable:
        score, source = evaluation.measure(subject)
        if not abs(score) < float("inf"):
            raise NumericalError(
                f"evaluation '{evaluation.name}' gave {score}",
                where=subject.where,
                fix="check the layer's features: they may be constant or not finite",
            )
        scores.append(Performance(model.key, checkpoint.name, evaluation.name, score, source))
    return scores


def _benchmark(reader: DatasetReader, model: Model) -> Benchmark:
    make = getattr(reader, "benchmark", None)
    if make is None or reader.modality != model.modality:
        raise DataError(
            f"no benchmark for {model.modality} in {type(reader).__name__}",
            where=f"model '{model.key}'",
            fix="evaluate on a data set of this modality whose reader has benchmark(), "
            "or give the scores in a performance table",
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
    from convergent.evaluation import _language_modelling, _probing  # noqa: F401

    return _EVALUATIONS
