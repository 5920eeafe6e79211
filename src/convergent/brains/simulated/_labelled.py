"""Labelled stimuli, in roles that share no stimulus."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from convergent.brains._types import StimulusSet

Role = Literal["stimulus", "evaluate", "train"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Labelled:
    """Items of one role with their classes.

    Attributes
    ----------
    ids : ndarray of str, shape (item,)
        ``<class>-<number>``; an item has the same id whatever its role.
    labels : ndarray of int64, shape (item,)
        Index into ``classes``.
    classes : tuple of str
    images : ndarray of uint8, shape (item, y, x, 3), optional
    texts : tuple of str, optional
    """

    ids: NDArray[np.str_]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    images: NDArray[np.uint8] | None = None
    texts: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Benchmark:
    """What performance is measured on: labelled stimuli that no subject saw.

    Attributes
    ----------
    stimuli : StimulusSet
    labels : ndarray of int64, shape (stimulus,)
        Index into ``classes``.
    classes : tuple of str
    half : ndarray of int64, shape (stimulus,)
        0 or 1: a probe is trained on one half and scored on the other, both ways round.
    """

    stimuli: StimulusSet
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    half: NDArray[np.int64]

    @property
    def chance(self) -> float:
        """Share correct of a guess that ignores the stimulus."""
        return 1.0 / len(self.classes)


def benchmark(name: str, modality: str, items: Labelled) -> Benchmark:
    """Make a benchmark of the items with role ``evaluate``, halved within each class."""
    half = np.zeros(len(items), dtype=np.int64)
    for label in range(len(items.classes)):
        members = np.flatnonzero(items.labels == label)
        half[members] = np.arange(members.size) % 2
    stimuli = StimulusSet(
        name=f"{name}-benchmark",
        modality=modality,
        design="items",
        ids=items.ids,
        images=items.images,
        texts=items.texts,
    )
    return Benchmark(stimuli, items.labels, items.classes, half)


def assign(name: str, number: int, sizes: dict[Role, int]) -> dict[Role, NDArray[np.int64]]:
    """Split items 0 to ``number`` - 1 of one class into roles, in a fixed random order.

    Parameters
    ----------
    name : str
        Name of the class: the seed of its order.
    number : int
    sizes : dict of Role to int
        Items of ``stimulus``, ``evaluate`` and (at most) ``train``.
    """
    order = np.random.default_rng(zlib.crc32(name.encode())).permutation(number)
    roles: dict[Role, NDArray[np.int64]] = {}
    start = 0
    for role in ROLES:
        roles[role] = np.sort(order[start : start + sizes[role]])
        start += sizes[role]
    return roles
