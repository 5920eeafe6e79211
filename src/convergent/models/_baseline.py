"""Baselines by name: features computed from the stimuli, without weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convergent.brains._types import Design, StimulusSet
from convergent.errors import ModelError, UnknownKeyError, did_you_mean
from convergent.models._loaded import LoadedBaseline, LoadedModel
from convergent.models._options import Options
from convergent.models._registry import register_source
from convergent.models._request import LoadRequest
from convergent.study.types import Checkpoint, Modality, Model

Compute = Callable[[StimulusSet, Options], np.ndarray]


@dataclass(frozen=True, slots=True)
class _Baseline:
    compute: Compute
    modality: Modality
    design: Design | None
    options: frozenset[str]


_BASELINES: dict[str, _Baseline] = {}


def register_baseline(
    name: str,
    modality: Modality,
    design: Design | None = None,
    options: Iterable[str] = (),
) -> Callable[[Compute], Compute]:
    """Register a function as the baseline called ``name``.

    The function takes a `StimulusSet` and the row's `Options` and returns an array
    (stimulus, feature), one row a stimulus in the set's order.

    Parameters
    ----------
    name : str
        As written in the ``reference`` column of the models table.
    modality : {"vision", "language"}
    design : {"items", "story"}, optional
        The only design that the baseline makes sense for; both when left out.
    options : iterable of str
        Keys that the row's ``preprocessing`` may use.

    Raises
    ------
    ModelError
        If the name is taken.
    """

    def register(compute: Compute) -> Compute:
        if name in _BASELINES:
            raise ModelError(f"baseline '{name}' is registered twice", fix="choose another name")
        _BASELINES[name] = _Baseline(compute, modality, design, frozenset(options))
        return compute

    return register


def baseline_names() -> list[str]:
    """Names of all registered baselines, sorted."""
    return sorted(_known())


def _known() -> dict[str, _Baseline]:
    # The built-in baselines register themselves when they are imported.
    from convergent.models import _baselines_language, _baselines_vision  # noqa: F401

    return _BASELINES


@register_source("baseline")
class BaselineSource:
    """Controls: their reference is a baseline's name, their options the baseline's own."""

    weight_names: tuple[str, ...] = ()
    config_patterns: tuple[str, ...] = ()

    @property
    def options(self) -> frozenset[str]:
        """Options of all baselines together; each one checks its own when it is loaded."""
        return frozenset().union(*(entry.options for entry in _known().values()))

    def hub_id(self, architecture: str, reference: str) -> str:
        """Baselines have no weights."""
        raise ModelError("baselines have no weights", fix="leave the reference a baseline's name")

    def load(self, request: LoadRequest, directory: Path | None) -> LoadedModel:
        """Baselines have no network."""
        raise ModelError("baselines have no network", where=request.where, fix="call load()")


def load_baseline(model: Model, checkpoint: Checkpoint) -> LoadedBaseline:
    """Look up a control's function and check its options.

    Raises
    ------
    UnknownKeyError
        If no baseline has the reference's name.
    ModelError
        If the row's modality, options or role do not fit the baseline.
    """
    where = f"model '{model.key}'"
    name, known = model.reference, _known()
    if name not in known:
        raise UnknownKeyError(
            f"unknown baseline '{name}'", where=where, fix=did_you_mean(name, known)
        )
    baseline = known[name]
    if checkpoint.role == "random":
        raise ModelError(
            f"baseline '{name}' has no weights to draw at random",
            where=f"{where}, checkpoint '{checkpoint.name}'",
            fix="remove the checkpoint's row",
        )
    if model.modality != baseline.modality:
        raise ModelError(
            f"baseline '{name}' is for {baseline.modality}, the row says {model.modality}",
            where=where,
            fix="correct the modality column",
        )
    options = Options(model, baseline.options)

    def compute(stimuli: StimulusSet) -> np.ndarray:
        if baseline.design not in (None, stimuli.design):
            raise ModelError(
                f"baseline '{name}' is for {baseline.design}, "
                f"data set '{stimuli.name}' is {stimuli.design}",
                where=where,
                fix="leave the model out of this data set",
            )
        return np.asarray(baseline.compute(stimuli, options), dtype=np.float32)

    return LoadedBaseline(name, compute)
