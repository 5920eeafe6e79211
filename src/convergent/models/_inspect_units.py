"""Blocks and stages of a network, found from how its modules repeat and follow each other.

A *unit* is one of several numbered siblings (``layer1.0``, ``layer1.1``; ``stages.0``,
``stages.1``; ``denseblock1``) that run one after another and hold at least two matrices of
weights. A unit that holds units is a stage, the others are blocks; a unit that adds its
input to what its parts gave is a block, whatever its parts are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convergent.models._inspect_trace import Call, Trace, tensors_in

if TYPE_CHECKING:
    import torch

_LEVELS = 2  # stages and blocks; what repeats inside a block is no layer of the network
_NUMBERED = re.compile(r"(.*?)(\d+)([a-z]?)")


@dataclass(frozen=True, slots=True)
class Unit:
    """A block or stage.

    Attributes
    ----------
    path : str
    kind : {"block", "stage"}
    """

    path: str
    kind: str


def find_units(module: torch.nn.Module, trace: Trace) -> list[Unit]:
    """Find blocks and stages, in the order in which they end."""
    finder = _Finder(trace)
    units = list(finder.walk("", module, 0))
    # A stage may have a single block: it is known from the other stages' blocks.
    finder.known = {type(trace.calls[unit.path].module) for unit in units if unit.kind == "block"}
    units = list(finder.walk("", module, 0))
    return sorted(units, key=lambda unit: finder.stop(unit.path))


class _Finder:
    def __init__(self, trace: Trace) -> None:
        self.calls = trace.calls
        self.trace = trace
        self.known: set[type] = set()

    def stop(self, path: str) -> int:
        call = self.calls.get(path)
        if call is not None:
            return call.stop
        # A list of modules does not run itself; it ends with the last of them.
        return max((inner.stop for inner in self.trace.below(path)), default=-1)

    def walk(self, path: str, module: torch.nn.Module, level: int) -> Iterator[Unit]:
        """Units inside a module that is no block."""
        children = [
            (_join(path, name), child)
            for name, child in module.named_children()
            if self.stop(_join(path, name)) >= 0
        ]
        units = self._numbered(children) if level < _LEVELS else set()
        for name, child in children:
            if name not in units:
                # Inside a unit only what groups modules: a branch repeats for other reasons.
                if level == 0 or _groups(child):
                    yield from self.walk(name, child, level)
                continue
            inner = list(self.walk(name, child, level + 1))
            if name not in self.calls:
                yield from inner
            elif inner and not self._adds(self.calls[name], inner):
                yield from inner
                yield Unit(name, "stage")
            else:
                yield Unit(name, "block")

    def _numbered(self, children: list[tuple[str, torch.nn.Module]]) -> set[str]:
        groups: dict[str, dict[str, torch.nn.Module]] = {}
        for path, child in children:
            if match := _NUMBERED.fullmatch(path.rpartition(".")[2]):
                groups.setdefault(match[1], {})[path] = child
        units: set[str] = set()
        for prefix, group in groups.items():
            heavy = [path for path, child in group.items() if _matrices(child) > 1]
            kinds = {type(group[path]) for path in heavy}
            several = len(heavy) > 1 or (heavy and (not prefix or kinds & self.known))
            if several and not self._parallel(heavy):
                # A stage of a single convolution is one of the stages.
                light = [path for path, child in group.items() if type(child) in kinds]
                units.update(heavy, (path for path in light if _matrices(group[path])))
        return units

    def _parallel(self, paths: list[str]) -> bool:
        # Branches read the same tensors; blocks in a row read each other's outputs.
        reads = [self.calls[path].read for path in paths if path in self.calls]
        return len(reads) > 1 and len(set(reads)) < len(reads)

    def _adds(self, call: Call, inner: list[Unit]) -> bool:
        """Whether a unit's output is a sum of what its parts gave and a shortcut."""
        last = self.calls[max(inner, key=lambda unit: self.stop(unit.path)).path]
        if call.gave is None or last.gave is None or call.gave == last.gave:
            return False
        own, its = (next(tensors_in(each.output)).shape for each in (call, last))
        shortcut, onwards = set(call.read), {last.gave}
        for other in sorted(self.trace.below(call.path), key=lambda each: each.start):
            if other.start < last.stop or other.gave is None:
                continue
            if shortcut.issuperset(other.read):
                shortcut.add(other.gave)
            elif _matrices(other.module) or "norm" in type(other.module).__name__.lower():
                return False  # something more is computed from the parts
            elif onwards.intersection(other.read):
                onwards.add(other.gave)
        # What an activation made of the last part is no sum.
        if call.gave in onwards:
            return False
        return own == its


def _matrices(module: torch.nn.Module) -> int:
    return sum(sum(side > 1 for side in value.shape) > 1 for value in module.parameters())


def _groups(module: torch.nn.Module) -> bool:
    import torch

    return isinstance(module, (torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
