"""Candidate layers of any network: embeddings, blocks, stages, final norm, what feeds the head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convergent.errors import LayerError, did_you_mean
from convergent.models.layers import (
    Axes,
    Call,
    Pass,
    Trace,
    Unit,
    axes_of,
    find_units,
    tensors_in,
    trace,
)
from convergent.names import layer_place

if TYPE_CHECKING:
    import torch


def find_candidates(module: torch.nn.Module, record: Trace) -> dict[str, str]:
    """Find modules whose outputs may be layers, in the order of execution.

    Parameters
    ----------
    module : torch.nn.Module
    record : Trace
        Of a forward pass.

    Returns
    -------
    dict of str to str
        Kind by path: ``embedding``, ``block``, ``stage``, ``final_norm``, ``pre_logits``.

    Raises
    ------
    LayerError
        If nothing in the network repeats.
    """
    blocks = find_units(module, record)
    units = blocks or _plain_chain(module, record)
    if not units:
        raise LayerError(
            f"{type(module).__name__} has no repeated modules that run in a row",
            fix="list its layers by hand in the models table",
        )
    inside = tuple(f"{unit.path}." for unit in units)
    outer = {unit.path for unit in units}
    start = min((record.calls[path] for path in outer), key=lambda call: call.start)
    stop = max(record.calls[path].stop for path in outer)
    around = [
        call
        for path, call in record.calls.items()
        if path and path not in outer and not path.startswith(inside) and call.stop >= 0
    ]
    before = [call for call in around if call.stop < start.start]
    after = [call for call in around if call.start > stop]
    # What stands before the first end of a plain chain is a part of it.
    found = _embedding(before, start) if blocks else []
    found += [(unit.path, unit.kind) for unit in units]
    found += [*_final_norm(after), *_pre_logits(after)]
    return dict(found)


def _embedding(before: list[Call], first: Call) -> list[tuple[str, str]]:
    # Best is the very tensor that the first block reads, positions added; else what ran last.
    read = [call for call in before if call.gave in first.read]
    chosen = max(read or before, key=lambda call: call.stop, default=None)
    return [(chosen.path, "embedding")] if chosen else []


def _final_norm(after: list[Call]) -> list[tuple[str, str]]:
    norms = [call for call in after if "norm" in type(call.module).__name__.lower()]
    chosen = min(norms, key=lambda call: call.stop, default=None)
    return [(chosen.path, "final_norm")] if chosen else []


def _pre_logits(after: list[Call]) -> list[tuple[str, str]]:
    import torch

    linear = [call for call in after if isinstance(call.module, torch.nn.Linear)]
    if not linear:
        return []
    head = max(linear, key=lambda call: call.stop)
    feeding = [call for call in after if call.gave in head.read and call.stop < head.start]
    chosen = max(feeding, key=lambda call: call.stop, default=None)
    return [(chosen.path, "pre_logits")] if chosen else []


def _plain_chain(module: torch.nn.Module, record: Trace) -> list[Unit]:
    """Without blocks (VGG): what stands before each next layer of weights of the longest chain."""
    import torch

    chains = [
        (path, part)
        for path, part in module.named_modules()
        if isinstance(part, torch.nn.Sequential)
    ]
    if not chains:
        return []
    path, chain = max(chains, key=lambda item: len(item[1]))
    names = [f"{path}.{name}" if path else name for name, _ in chain.named_children()]
    heavy = [any(value.ndim > 1 for value in part.parameters()) for part in chain]
    ends = [index - 1 for index, weighs in enumerate(heavy) if weighs and index] + [len(chain) - 1]
    return [Unit(names[index], "block") for index in ends if names[index] in record.calls]


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


__all__ = ["Candidate", "Inspection", "LeftOut", "Reading", "Sketch", "inspect", "read_layers"]


def inspect(sketch: Sketch) -> Inspection:
    """List the modules of a network whose outputs can be layers.

    Blocks and stages are found from structure (see `find_units`), the embedding as what the
    first of them reads, the final norm as the first norm after them. Layouts come from the
    shapes in two passes of different size. No weights and no memory: everything is on the
    meta device.

    Raises
    ------
    LayerError
        If nothing in the network repeats.
    """
    first = trace(sketch.passes[0])
    found = find_candidates(sketch.module, first)
    step, second = _second(sketch.passes[1], found, first)
    left_out: list[LeftOut] = []
    kept: list[tuple[str, str, Call, Axes]] = []
    states: dict[object, str] = {}
    for path, kind in found.items():
        call = first.calls[path]
        same = states.get(call.gave, "")
        if same:
            left_out.append(LeftOut(path, kind, f"the same tensor as '{same}'", same))
            continue
        try:
            axes = _axes(
                call, second.calls.get(path), (sketch.passes[0], step), sketch.tuple_outputs
            )
        except LayerError as error:
            left_out.append(LeftOut(path, kind, error.what))
            continue
        kept.append((path, kind, call, axes))
        if call.gave is not None:
            states[call.gave] = path
    left_out += _silent(sketch, first)
    last = max(len(kept) - 1, 1)
    return Inspection(
        tuple(
            Candidate(
                path, kind, type(call.module).__name__, _shape(call) or (), axes, index / last
            )
            for index, (path, kind, call, axes) in enumerate(kept)
        ),
        tuple(left_out),
    )


def read_layers(sketch: Sketch, paths: Sequence[str]) -> dict[str, Reading | LayerError]:
    """Read layout and width of named modules; for each that can't be a layer, the reason.

    Parameters
    ----------
    sketch : Sketch
    paths : sequence of str
        Module paths; of a module that runs several times, with the run: ``encoder.layer@2``.
    """
    known = dict(sketch.module.named_modules(remove_duplicate=False))
    present = [path for path in paths if layer_place(path)[0] in known]
    first = trace(sketch.passes[0], present)
    step, second = _second(sketch.passes[1], present, first)
    found: dict[str, Reading | LayerError] = {}
    places: dict[tuple[int, int], str] = {}
    for path in paths:
        call = first.calls.get(path)
        place, run = layer_place(path)
        try:
            if place not in known:
                raise LayerError(f"there is no module '{place}'", fix=did_you_mean(place, known))
            if call is None:
                raise LayerError(f"'{path}' does not run in the forward pass")
            other = places.setdefault((id(known[place]), run or 0), path)
            if other != path:
                raise LayerError(f"it is '{other}' under another name", fix="list one of the two")
            passes = sketch.passes[0], step
            axes = _axes(call, second.calls.get(path), passes, sketch.tuple_outputs)
            found[path] = Reading(axes, call.stop)
        except LayerError as error:
            found[path] = error
    return found


def _candidate(path: str, kind: str, call: Call, axes: Axes, depth: float) -> Candidate:
    return Candidate(path, kind, type(call.module).__name__, _shape(call) or (), axes, depth)


def _second(step: Pass, paths: Collection[str], first: Trace) -> tuple[Pass, Trace]:
    try:
        second = trace(step, paths)
        # A network may also bring every input to its own size.
        if step.otherwise is None or _grown(first, second):
            return step, second
    # Networks of a fixed size refuse others each in its own way.
    except Exception:
        if step.otherwise is None:
            raise
    larger = step.otherwise()
    return larger, trace(larger, paths)


def _grown(first: Trace, second: Trace) -> bool:
    pairs = [(_shape(first.calls[path]), _shape(call)) for path, call in second.calls.items()]
    maps = [(a[1:], b[1:]) for a, b in pairs if a and b and len(a) > 2]
    return not maps or any(small != large for small, large in maps)


def _axes(call: Call, again: Call | None, passes: tuple[Pass, Pass], tuple_outputs: bool) -> Axes:
    if call.calls > 1 and layer_place(call.path)[1] is None:
        raise LayerError(
            f"it runs {call.calls} times in a forward pass",
            fix=f"list the runs, '{call.path}@0' to '{call.path}@{call.calls - 1}'",
        )
    if call.gave is None and not (tuple_outputs and isinstance(call.output, tuple)):
        raise LayerError(f"it returns {_described(call.output)}, not one tensor")
    if again is None:
        raise LayerError("it does not run with a larger input")
    small, large = _shape(call), _shape(again)
    if small is None or large is None:
        raise LayerError(f"it returns {_described(call.output)}, no activations")
    return axes_of(small, large, passes, f"layer '{call.path}'")


def _shape(call: Call) -> tuple[int, ...] | None:
    tensor = next(tensors_in(call.output), None)
    if tensor is None or not tensor.is_floating_point():
        return None
    return tuple(tensor.shape)


def _described(output: object) -> str:
    if isinstance(output, (tuple, list)):
        return f"{type(output).__name__} of {len(output)}"
    return type(output).__name__


def _silent(sketch: Sketch, record: Trace) -> list[LeftOut]:
    """Parts of which no module ran, for example another modality's tower."""
    silent: list[str] = []
    for path, module in sketch.module.named_modules():
        parent = path.rpartition(".")[0]
        # Inside of a module that ran, parameters may be used without calling their module.
        if not path or path.startswith(tuple(f"{name}." for name in silent)):
            continue
        if parent and parent in record.calls:
            continue
        ran = path in record.calls or any(True for _ in record.below(path))
        if not ran and any(True for _ in module.parameters()):
            silent.append(path)
    return [LeftOut(path, "module", "it does not run for this modality") for path in silent]
