"""Read state dictionaries safely, and copy them into modules strictly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from convergent.errors import WeightsError
from convergent.models._lazy import open_state

if TYPE_CHECKING:
    import torch

State = dict[str, "torch.Tensor"]


class Shaped(Protocol):
    """Anything with a shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...


def read_state(path: Path, where: str) -> State:
    """Read a state dictionary from safetensors, or from a pickle of tensors only.

    Raises
    ------
    WeightsError
        If the file is damaged or holds anything but tensors: such a pickle could run code.
    """
    return open_state([path], where).read()


def check_names(own: Mapping[str, Shaped], given: Mapping[str, Shaped], where: str) -> None:
    """Check that two sets of tensors have the same names and shapes.

    Raises
    ------
    WeightsError
        Naming the first missing, unexpected or misshapen parameter.
    """
    missing, unexpected = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or unexpected:
        raise WeightsError(
            f"{len(missing)} parameters missing (first: {missing[:1]}), "
            f"{len(unexpected)} unexpected (first: {unexpected[:1]})",
            where=where,
            fix="check the architecture column, or options such as num_classes",
        )
    for name, value in own.items():
        _check_shape(name, tuple(given[name].shape), name, tuple(value.shape), where)


def load_by_name(module: torch.nn.Module, state: State, where: str) -> None:
    """Copy weights by parameter name; every name must match.

    Raises
    ------
    WeightsError
        Naming the first missing, unexpected or misshapen parameter.
    """
    check_names(module.state_dict(), state, where)
    module.load_state_dict(state, strict=True)


def load_in_order(module: torch.nn.Module, state: State, where: str) -> None:
    """Copy weights by position: for the same network under other parameter names.

    Batch counters of normalisation layers are left out on both sides. Number and shape of
    all other tensors must agree, one by one.

    Raises
    ------
    WeightsError
        If they do not.
    """
    own = _without_counters(module.state_dict())
    given = _without_counters(state)
    if len(own) != len(given):
        raise WeightsError(
            f"{len(given)} tensors in the file, {len(own)} in the architecture",
            where=where,
            fix="check the architecture column, or options such as num_classes",
        )
    renamed: State = {}
    for (theirs, value), (ours, target) in zip(given.items(), own.items(), strict=True):
        _check_shape(theirs, tuple(value.shape), ours, tuple(target.shape), where)
        renamed[ours] = value
    module.load_state_dict(renamed, strict=False)


def _without_counters(state: State) -> State:
    return {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}


def _check_shape(
    theirs: str, given: tuple[int, ...], ours: str, wanted: tuple[int, ...], where: str
) -> None:
    if given != wanted:
        raise WeightsError(
            f"'{theirs}' has shape {given}, '{ours}' needs {wanted}",
            where=where,
            fix="check the architecture column, or options such as num_classes",
        )
