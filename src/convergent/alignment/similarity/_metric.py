"""Similarity metrics by name, with their options checked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from convergent.alignment.metrics import NoOptions, Similarity
from convergent.alignment.similarity._dissimilarities import Measured
from convergent.alignment.similarity._geometry import Geometry
from convergent.alignment.similarity._pairs import PairVectors
from convergent.errors import ConfigError, DataError, did_you_mean
from convergent.registry import FITTED, METRICS, PluginError

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


def similarity_names() -> list[str]:
    """Names of all metrics that compare pairs of stimuli, sorted."""
    return sorted(set(METRICS.names()).difference(FITTED))


def compares_dissimilarities(name: str) -> bool:
    """Whether distances between stimuli are all that a metric needs.

    Raises
    ------
    UnknownKeyError, PluginError
        There is no such metric, or it cannot be used.
    """
    return name not in FITTED and bool(METRICS.load(name).dissimilarities)


def of_dissimilarities() -> list[str]:
    """Names of the metrics that compare dissimilarities, sorted; those that can be used."""
    found = []
    for name in similarity_names():
        with contextlib.suppress(PluginError):
            found += [name] if compares_dissimilarities(name) else []
    return found


def resolve_metrics(metrics: Mapping[str, Mapping[str, Any] | None]) -> list[Metric]:
    """Look metrics up and check their options.

    Parameters
    ----------
    metrics : mapping of str to (mapping or None)
        Options by the metric's name; None for the defaults.

    Raises
    ------
    UnknownKeyError, PluginError
        There is no such metric, or it cannot be used.
    ConfigError
        No metric, or options that it does not have or that are out of range.
    """
    if not metrics:
        raise ConfigError("no metric", where="similarity", fix=did_you_mean("", similarity_names()))
    return [_resolve(name, options or {}) for name, options in metrics.items()]


def check_metrics(metrics: Mapping[str, Mapping[str, Any] | None]) -> None:
    """Refuse what `compare` would refuse of metrics and their options, before anything is read."""
    resolve_metrics(metrics)


def _resolve(name: str, options: Mapping[str, Any]) -> Metric:
    if name in FITTED:
        raise ConfigError(
            f"{name} is fitted, and compares no pairs of stimuli",
            where="similarity",
            fix=did_you_mean("", similarity_names()),
        )
    entry: Similarity = METRICS.load(name, "similarity")
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
    function = entry.function
    if isinstance(function, str):
        function = METRICS.load_part(name, function)
    return Metric(name, function, checked, entry.minimum, entry.averages, entry.dissimilarities)
