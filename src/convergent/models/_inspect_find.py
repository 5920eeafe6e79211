"""Which modules of a network may be layers: what stands before, among and after its blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convergent.errors import LayerError
from convergent.models._inspect_trace import Call, Trace
from convergent.models._inspect_units import Unit, find_units

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
