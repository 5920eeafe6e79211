"""What inspection takes and gives."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convergent.errors import LayerError
from convergent.models._inspect_layout import Axes
from convergent.models._inspect_trace import Pass

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Sketch:
    """A network without weights, and how to run it at two input sizes.

    Attributes
    ----------
    passes : two of Pass
        The first with inputs of the size that the model is used with. Their networks may be
        two instances, where the size is part of the architecture.
    modality : {"vision", "language"}
    parameters : int
        Of the model, or of the tower that runs.
    tuple_outputs : bool
        Whether the first element of a tuple may be read, as by the source's loader.
    """

    passes: tuple[Pass, Pass]
    modality: str
    parameters: int
    tuple_outputs: bool = False

    @property
    def module(self) -> torch.nn.Module:
        """The network of the first pass."""
        return self.passes[0].module


@dataclass(frozen=True, slots=True)
class Candidate:
    """A module whose output can be a layer.

    Attributes
    ----------
    path : str
    kind : {"embedding", "block", "stage", "final_norm", "pre_logits"}
    class_name : str
    shape : tuple of int
        Of the output in the first pass.
    axes : Axes
        Layout, width and number of leading tokens.
    depth : float
        Relative place in the order of execution among the candidates, in [0, 1].
    """

    path: str
    kind: str
    class_name: str
    shape: tuple[int, ...]
    axes: Axes
    depth: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A module that can't be a layer, and why.

    Attributes
    ----------
    path : str
    kind : str
        As of a candidate; ``module`` for those that did not run.
    reason : str
    same_as : str
        The layer that gives the same tensor, if that is the reason.
    """

    path: str
    kind: str
    reason: str
    same_as: str = ""


@dataclass(frozen=True)
class Inspection:
    """Candidate layers in the order of execution, and what was left out.

    Attributes
    ----------
    candidates : tuple of Candidate
    left_out : tuple of LeftOut
    """

    candidates: tuple[Candidate, ...]
    left_out: tuple[LeftOut, ...]

    def listed(self) -> tuple[Candidate, ...]:
        """Candidates for a table row: those that have the layout of most blocks.

        A row has one layout and one number of leading tokens for all its layers.

        Raises
        ------
        LayerError
            If no block or stage is among the candidates.
        """
        inner = [item for item in self.candidates if item.kind in ("block", "stage")]
        if not inner:
            first = [
                f"'{left.path}': {left.reason}" for left in self.left_out if left.kind == "block"
            ]
            raise LayerError(
                f"no block or stage can be read ({', '.join(first[:1])})",
                fix="list layers by hand in the models table",
            )
        (layout, prefix), _ = Counter((c.axes.layout, c.axes.prefix) for c in inner).most_common(1)[
            0
        ]
        return tuple(
            item
            for item in self.candidates
            if (item.axes.layout, item.axes.prefix) == (layout, prefix)
        )


@dataclass(frozen=True, slots=True)
class Reading:
    """What a named module gives.

    Attributes
    ----------
    axes : Axes
    moment : int
        Place in the order in which modules end.
    """

    axes: Axes
    moment: int
