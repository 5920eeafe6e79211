"""Blocks and stages of a network, found from how its modules repeat and follow each other.

A *unit* is one of several numbered siblings (``layer1.0``, ``layer1.1``; ``stages.0``,
``stages.1``; ``denseblock1``) that run one after another and hold at least two matrices of
weights. A unit that holds units is a stage, the others are blocks; a unit that adds its
input to what its parts gave is a block, whatever its parts are.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from convergent.errors import LayerError
from convergent.names import layer_place
from convergent.study.types import Layout

if TYPE_CHECKING:
    import torch


# Identity of a tensor at a moment: writing into it in place gives another state.
State = tuple[int, int]


@dataclass(frozen=True)
class Pass:
    """A network and inputs for it.

    Attributes
    ----------
    module : torch.nn.Module
        On the meta device, in evaluation mode.
    inputs : dict of str to Tensor
        On the meta device.
    call : callable
        ``call(inputs)``: one forward pass.
    items : int
        Size of the batch; passes of one sketch differ in it.
    side : int or None
        Side of the images in pixels.
    tokens : int or None
        Number of tokens of each text.
    otherwise : callable, optional
        Makes the pass to take if this one fails: a network built for the size.
    """

    module: torch.nn.Module
    inputs: dict[str, torch.Tensor]
    call: Callable[[dict[str, torch.Tensor]], Any]
    items: int
    side: int | None = None
    tokens: int | None = None
    otherwise: Callable[[], Pass] | None = None


@dataclass
class Call:
    """What one module did in a pass; of several calls one (the first), with their number.

    Attributes
    ----------
    path : str
    module : torch.nn.Module
    start, stop : int
        Moments, counted in starts and ends of modules.
    read : tuple of State
        Tensors among the arguments.
    output : object
    gave : State or None
        None unless the output is one tensor.
    calls : int
    """

    path: str
    module: torch.nn.Module
    start: int
    read: tuple[State, ...]
    stop: int = -1
    output: Any = None
    gave: State | None = None
    calls: int = 1


@dataclass
class Trace:
    """Calls by path, for the modules that ran."""

    calls: dict[str, Call]
    # Tensors are kept, so that no two of them can have the same id.
    kept: list[torch.Tensor] = field(repr=False, default_factory=list)

    def below(self, path: str) -> Iterator[Call]:
        """Calls of the modules inside a module."""
        prefix = f"{path}." if path else ""
        return (call for name, call in self.calls.items() if name.startswith(prefix) and name)


def trace(step: Pass, paths: Collection[str] | None = None) -> Trace:
    """Run a pass and record modules: all of them unless ``paths`` are named.

    A path may name one of a module's runs, ``encoder.layer@2``; it is recorded under that name.
    """
    import torch

    record = Trace({})
    clock = iter(range(1 << 62))
    started: Counter[str] = Counter()
    ended: Counter[str] = Counter()

    def before(path: str, wanted: int | None) -> Callable[..., None]:
        def hook(module: Any, arguments: Any, keywords: Any) -> None:
            started[path] += 1
            if path in record.calls:
                record.calls[path].calls += 1
                return
            if started[path] <= (wanted or 0):
                return
            tensors = list(tensors_in((arguments, keywords)))
            record.kept.extend(tensors)
            read = tuple(_state(tensor) for tensor in tensors)
            record.calls[path] = Call(path, module, next(clock), read, calls=started[path])

        return hook

    def after(path: str, wanted: int | None) -> Callable[..., None]:
        def hook(_module: Any, _arguments: Any, output: Any) -> None:
            ended[path] += 1
            if ended[path] != (wanted or 0) + 1:
                return
            call = record.calls[path]
            call.stop = next(clock)
            call.output = output
            record.kept.extend(tensors_in(output))
            call.gave = _state(output) if isinstance(output, torch.Tensor) else None

        return hook

    handles = []
    known = dict(step.module.named_modules(remove_duplicate=paths is None))
    for name in known if paths is None else dict.fromkeys(paths):
        path, wanted = layer_place(name) if paths is not None else (name, None)
        if path not in known:
            continue
        handles.append(
            known[path].register_forward_pre_hook(before(name, wanted), with_kwargs=True)
        )
        handles.append(known[path].register_forward_hook(after(name, wanted)))
    try:
        with torch.no_grad():
            step.call(step.inputs)
    finally:
        for handle in handles:
            handle.remove()
    return record


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """Tensors in nested tuples, lists, mappings and model outputs."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors_in(part)


def _state(tensor: torch.Tensor) -> State:
    return id(tensor), tensor._version


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


_MOST_PREFIX = 32

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Axes:
    """What the axes of an output are.

    Attributes
    ----------
    layout : {"tokens", "channels_first", "channels_last", "vector"}
    width : int
        Number of features.
    prefix : int
        Leading tokens that do not belong to a place of the image (class token, registers).
    """

    layout: Layout
    width: int
    prefix: int = 0


def axes_of(small: Shape, large: Shape, passes: tuple[Pass, Pass], where: str) -> Axes:
    """Tell items, places and features apart: items follow the batch, places the input's size.

    Parameters
    ----------
    small, large : tuple of int
        Shapes of the same module's output in the two passes.
    passes : two of Pass
        With different numbers of items, and images or texts of different sizes.
    where : str
        For the error message.

    Raises
    ------
    LayerError
        If the shapes allow none or more than one reading.
    """

    def unclear(what: str) -> LayerError:
        return LayerError(
            f"output {small} becomes {large} for a larger input: {what}",
            where=where,
            fix="list another module",
        )

    if len(small) != len(large) or not 2 <= len(small) <= 4:
        raise unclear("not 2 to 4 axes")
    if (small[0], large[0]) != (passes[0].items, passes[1].items):
        raise unclear("the first axis is not that of the items")
    moved = tuple(axis for axis in range(1, len(small)) if small[axis] != large[axis])
    if len(small) == 2:
        if moved:
            raise unclear("the number of features changes")
        return Axes("vector", small[1])
    if len(small) == 3:
        return _tokens(small, large, moved, passes, unclear)
    if moved == (2, 3) or (not moved and small[2:] == (1, 1) and small[1] > 1):
        return Axes("channels_first", small[1])
    if moved == (1, 2) or (not moved and small[1:3] == (1, 1) and small[3] > 1):
        return Axes("channels_last", small[3])
    raise unclear("it cannot be told which axis holds the channels")


def _tokens(
    small: Shape,
    large: Shape,
    moved: Shape,
    passes: tuple[Pass, Pass],
    unclear: Callable[[str], LayerError],
) -> Axes:
    if moved == (2,):
        raise unclear("channels stand before positions, which no layout of the tables says")
    if moved != (1,):
        raise unclear("it cannot be told which axis holds the tokens")
    first, second = passes
    if first.tokens is not None and second.tokens is not None:
        if (small[1], large[1]) != (first.tokens, second.tokens):
            raise unclear(f"there are {first.tokens} and {second.tokens} tokens")
        return Axes("tokens", small[2])
    places = _prefixes(small[1], large[1], first, second)
    if len(places) != 1:
        raise unclear("the number of tokens does not follow the image's area")
    return Axes("tokens", small[2], prefix=places[0])


def _prefixes(small: int, large: int, first: Pass, second: Pass) -> list[int]:
    """Numbers of leading tokens that leave square grids whose sides follow the image's."""
    assert first.side is not None and second.side is not None
    found = []
    for prefix in range(min(small, _MOST_PREFIX + 1)):
        sides = math.isqrt(small - prefix), math.isqrt(large - prefix)
        square = sides[0] ** 2 == small - prefix and sides[1] ** 2 == large - prefix
        # Odd sides are rounded where a network halves them.
        if square and abs(sides[1] - sides[0] * second.side / first.side) <= 1:
            found.append(prefix)
    return found
