"""Candidate layers of any network: embeddings, blocks, stages, final norm, what feeds the head."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from convergent.errors import LayerError, did_you_mean
from convergent.models._inspect_find import find_candidates
from convergent.models._inspect_layout import Axes, axes_of
from convergent.models._inspect_trace import Call, Pass, Trace, tensors_in, trace
from convergent.models._inspect_types import Candidate, Inspection, LeftOut, Reading, Sketch

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
        Module paths.
    """
    known = dict(sketch.module.named_modules(remove_duplicate=False))
    present = [path for path in paths if path in known]
    first = trace(sketch.passes[0], present)
    step, second = _second(sketch.passes[1], present, first)
    found: dict[str, Reading | LayerError] = {}
    for path in paths:
        call = first.calls.get(path)
        try:
            if path not in known:
                raise LayerError(f"there is no module '{path}'", fix=did_you_mean(path, known))
            if call is None:
                raise LayerError(f"module '{path}' does not run in the forward pass")
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
    if call.calls > 1:
        raise LayerError(f"it runs {call.calls} times in a forward pass")
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
