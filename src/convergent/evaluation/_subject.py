"""What is evaluated, and on what; networks and features are made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from convergent.brains.simulated import Benchmark
from convergent.brains.types import DatasetReader
from convergent.errors import DataError, NumericalError
from convergent.evaluation._material import Material
from convergent.evaluation._probe import Probe, linear_probe
from convergent.extraction import extract
from convergent.models import LoadedModel
from convergent.study.types import Checkpoint, Model

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
