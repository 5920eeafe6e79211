"""Baselines: features computed from the stimuli, without weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convergent.brains._types import Design, StimulusSet
from convergent.errors import ModelError
from convergent.models._loaded import LoadedBaseline, LoadedModel
from convergent.models._options import Options
from convergent.models._request import LoadRequest
from convergent.registry import BASELINES
from convergent.study.types import Checkpoint, Modality, Model

Compute = Callable[[StimulusSet, Options], np.ndarray]


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline: a function of stimuli, and what it is for.

    Attributes
    ----------
    compute : callable
        From a `StimulusSet` and the row's `Options` to an array (stimulus, feature), one row per
        stimulus in the set's order.
    modality : {"vision", "language"}
    design : {"items", "story"} or None
        The only design that the baseline makes sense for; None: both.
    options : frozenset of str
        Keys that the row's ``preprocessing`` may use.
    """

    compute: Compute
    modality: Modality
    design: Design | None = None
    options: frozenset[str] = frozenset()

    def __call__(self, stimuli: StimulusSet, options: Options) -> np.ndarray:
        """Compute the features, (stimulus, feature)."""
        return self.compute(stimuli, options)


def baseline(
    modality: Modality, design: Design | None = None, options: Iterable[str] = ()
) -> Callable[[Compute], Baseline]:
    """Make a baseline of a function; its name is the one in `convergent.registry.BASELINES`.

    Parameters
    ----------
    modality, design, options
        See `Baseline`.
    """
    return lambda compute: Baseline(compute, modality, design, frozenset(options))


class BaselineSource:
    """Controls: their reference is a baseline's name, their options the baseline's own."""

    options: frozenset[str] = frozenset()  # each baseline checks its own
    weight_names: tuple[str, ...] = ()
    config_patterns: tuple[str, ...] = ()

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
    UnknownKeyError, PluginError
        If no baseline has the reference's name, or it cannot be used.
    ModelError
        If the row's modality, options or role do not fit the baseline.
    """
    where = f"model '{model.key}'"
    name = model.reference
    baseline: Baseline = BASELINES.load(name, where)
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
