"""Similarity metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from convergent.alignment.similarity._dissimilarities import Measured
from convergent.alignment.similarity._geometry import Geometry
from convergent.alignment.similarity._pairs import PairVectors
from convergent.errors import ConfigError, DataError, did_you_mean
from convergent.sections import Section


class NoOptions(Section):
    """Options of a metric that has none, and base of those that have."""


O = TypeVar("O", bound=NoOptions)  # noqa: E741
Function = Callable[[Geometry, Any], PairVectors]


@dataclass(frozen=True)
class Metric:
    """A metric with its options, ready to be applied to either side."""

    name: str
    function: Function
    options: NoOptions
    minimum: int
    averages: bool = True
    dissimilarities: bool = False

    def __call__(self, geometry: Geometry) -> PairVectors:
        """Make the pair vectors of a representation.

        Raises
        ------
        DataError
            Too few stimuli for the metric, or dissimilarities where it needs patterns.
        """
        if isinstance(geometry, Measured) and not self.dissimilarities:
            raise DataError(
                "dissimilarities of stimuli, where patterns are needed",
                where=f"similarity '{self.name}'",
                fix=f"use {', '.join(of_dissimilarities())}",
            )
        if geometry.n < self.minimum:
            raise DataError(
                f"{geometry.n} stimuli, and {self.name} needs at least {self.minimum}",
                where=f"similarity '{self.name}'",
                fix="use more stimuli, or leave the metric out",
            )
        return self.function(geometry, self.options)


@dataclass(frozen=True)
class _Entry:
    function: Function
    options: type[NoOptions]
    minimum: int
    averages: bool
    dissimilarities: bool


_ENTRIES: dict[str, _Entry] = {}


def register_similarity(
    name: str,
    *,
    options: type[O],
    minimum: int = 3,
    averages: bool = True,
    dissimilarities: bool = False,
) -> Callable[[Callable[[Geometry, O], PairVectors]], Callable[[Geometry, O], PairVectors]]:
    """Register a function as the metric called ``name``.

    The function takes one representation's `Geometry` and the options and returns its
    `PairVectors`. It sees one representation only: the score is the inner product of two.

    Parameters
    ----------
    name : str
        As studies and tables write it.
    options : pydantic model
        Its fields are the options; unknown ones are refused.
    minimum : int
        Smallest number of stimuli for which the metric means anything.
    averages : bool
        Whether the mean of several subjects' pair vectors describes what they share; else their
        noise ceiling is that of pairs of subjects (`similarity_ceilings`).
    dissimilarities : bool
        Whether distances between stimuli are all that the metric needs (`Dissimilarities`).

    Raises
    ------
    ConfigError
        If the name is taken.
    """

    def register(
        function: Callable[[Geometry, O], PairVectors],
    ) -> Callable[[Geometry, O], PairVectors]:
        if name in _ENTRIES:
            raise ConfigError(f"similarity '{name}' is registered twice", fix="use another name")
        _ENTRIES[name] = _Entry(function, options, minimum, averages, dissimilarities)
        return function

    return register


def similarity_names() -> list[str]:
    """Names of all registered metrics, sorted."""
    return sorted(_known())


def of_dissimilarities() -> list[str]:
    """Names of the metrics that compare dissimilarities, sorted."""
    return sorted(name for name, entry in _known().items() if entry.dissimilarities)


def resolve_metrics(metrics: Mapping[str, Mapping[str, Any] | None]) -> list[Metric]:
    """Look metrics up and check their options.

    Parameters
    ----------
    metrics : mapping of str to (mapping or None)
        Options by the metric's name; None for the defaults.

    Raises
    ------
    ConfigError
        No metric, an unknown one, or options that it does not have or that are out of range.
    """
    if not metrics:
        raise ConfigError("no metric", where="similarity", fix=did_you_mean("", _known()))
    return [_resolve(name, options or {}) for name, options in metrics.items()]


def check_metrics(metrics: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Refuse what `compare` would refuse of metrics and their options, before anything is read."""
    resolve_metrics(metrics)


def _resolve(name: str, options: Mapping[str, Any]) -> Metric:
    entry = _known().get(name)
    if entry is None:
        raise ConfigError(
            f"unknown metric '{name}'", where="similarity", fix=did_you_mean(name, _known())
        )
    try:
        checked = entry.options(**options)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(str(part) for part in first["loc"])
        known = entry.options.model_fields
        unknown = first["type"] == "extra_forbidden"
        raise ConfigError(
            f"option '{option}' is unknown" if unknown else f"option '{option}': {first['msg']}",
            where=f"similarity '{name}'",
            fix=did_you_mean(option, known) if unknown else "correct the option",
        ) from error
    return Metric(
        name, entry.function, checked, entry.minimum, entry.averages, entry.dissimilarities
    )


def _known() -> dict[str, _Entry]:
    # The built-in metrics register themselves when they are imported.
    from convergent.alignment.similarity import _cka, _knn, _rsa  # noqa: F401

    return _ENTRIES
