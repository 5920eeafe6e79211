"""Inner products of the features' pair vectors, permuted, with those of many regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment._orders import Orders
from convergent.alignment.similarity._blocks import plan_blocks
from convergent.alignment.similarity._geometry import Geometry
from convergent.alignment.similarity._inputs import Index
from convergent.alignment.similarity._pairs import PairIndex, PairVectors
from convergent.alignment.similarity._registry import Metric

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Part:
    """All stimuli, or a half of them.

    Attributes
    ----------
    rows : ndarray of int, shape (stimulus of the part,), or None
        None for all.
    pairs : PairIndex
    """

    rows: Index | None
    pairs: PairIndex

    def of(self, geometry: Geometry) -> Geometry:
        """Geometry of the part's stimuli, from that of all."""
        if self.rows is None:
            return geometry
        rows = torch.from_numpy(self.rows).to(self.pairs.device)
        return geometry.subset(rows, self.pairs)


@dataclass(frozen=True, eq=False)
class Region:
    """One region of one subject: columns of the responses, perhaps none."""

    responses: NDArray[Any]
    columns: Index

    def geometry(self, pairs: PairIndex) -> Geometry | None:
        """Geometry of the region's responses; None without targets."""
        if self.columns.size == 0:
            return None
        return Geometry.of(self.responses[:, self.columns], pairs)


@dataclass(frozen=True, eq=False)
class Task:
    """One pair vector of the features: a metric at a scale, over a part of the stimuli."""

    metric: Metric
    part: Part
    made: PairVectors
    scale: int

    def matrix(self, dtype: torch.dtype) -> Tensor:
        """Pair vector of the features as a flat matrix, to be permuted, (stimulus * stimulus,)."""
        vector = self.made.vector(self.scale).to(dtype)
        return self.part.pairs.unpack(vector, self.made.kind).view(-1)


def make_tasks(geometry: Geometry, parts: Sequence[Part], metrics: Sequence[Metric]) -> list[Task]:
    """List the pair vectors of the features: every metric at every scale, in every part."""
    tasks = []
    for part in parts:
        seen = part.of(geometry)
        sides = [(metric, metric(seen)) for metric in metrics]
        for metric, made in sorted(sides, key=lambda side: side[1].kind.name):
            tasks += [Task(metric, part, made, scale) for scale in range(made.scales.size)]
    return tasks


def inner_products(
    tasks: Sequence[Task],
    regions: Sequence[Region],
    orders: Sequence[Orders],
    *,
    whole: PairIndex,
    memory: int,
    dtype: torch.dtype,
) -> list[Floats]:
    """Score every task in every region, for every row order of the responses.

    ``sum_ij A_ij B_o(i)o(j) = sum_ij A_q(i)q(j) B_ij`` with q the inverse of o: the features'
    vectors are permuted, once for all regions, and the regions' stay.

    Parameters
    ----------
    tasks : sequence of Task
        Those of one part and kind of pairs next to each other.
    regions : sequence of Region
    orders : sequence of ndarray of int, shape (order, stimulus of the part)
        Row orders of the responses for each task.
    whole : PairIndex
        Of all stimuli.
    memory : int
        Bytes for pair vectors.
    dtype : torch.dtype
        Of the products.

    Returns
    -------
    list of ndarray of float64, shape (order, region)
        One a task.
    """
    number = len(orders[0])
    blocks = plan_blocks(
        vectors=len(tasks),
        regions=len(regions),
        orders=number,
        stimuli=whole.n,
        pairs=max(task.part.pairs.count(task.made.kind) for task in tasks),
        item_bytes=dtype.itemsize,
        memory=memory,
    )
    found = [np.full((number, len(regions)), np.nan) for _ in tasks]
    for start in range(0, len(tasks), blocks.vectors):
        some = range(start, min(start + blocks.vectors, len(tasks)))
        matrices = {t: tasks[t].matrix(dtype) for t in some}
        for first in range(0, len(regions), blocks.regions):
            last = min(first + blocks.regions, len(regions))
            sides = _region_vectors([tasks[t] for t in some], regions[first:last], whole, dtype)
            right = dict(zip(some, sides, strict=True))
            for _, alike in groupby(some, lambda t: (id(tasks[t].part), tasks[t].made.kind)):
                group = list(alike)
                lead = tasks[group[0]]
                inverse = torch.from_numpy(np.argsort(orders[group[0]], axis=1))
                for low in range(0, number, blocks.orders):
                    index = _permuted(lead, inverse[low : low + blocks.orders])
                    for t in group:
                        left = torch.index_select(matrices[t], 0, index.view(-1)).view(index.shape)
                        product = left @ right[t].T
                        found[t][low : low + len(index), first:last] = product.cpu().numpy()
    return found


def _permuted(task: Task, orders: Tensor) -> Tensor:
    """Where each permuted pair lies, (order, pair)."""
    pairs, kind = task.part.pairs, task.made.kind
    index = pairs.flat(kind).new_empty(len(orders), pairs.count(kind))
    for row, order in zip(index, orders.to(pairs.device), strict=True):
        row.copy_(pairs.permuted(order, kind))
    return index


def _region_vectors(
    tasks: Sequence[Task], regions: Sequence[Region], whole: PairIndex, dtype: torch.dtype
) -> list[Tensor]:
    """Pair vectors of the regions for each task, (region, pair)."""
    vectors = [
        torch.full(
            (len(regions), task.part.pairs.count(task.made.kind)),
            torch.nan,
            dtype=dtype,
            device=whole.device,
        )
        for task in tasks
    ]
    for r, region in enumerate(regions):
        geometry = region.geometry(whole)
        if geometry is None:
            continue
        parts = {id(task.part): task.part for task in tasks}
        seen = {key: part.of(geometry) for key, part in parts.items()}
        for task, rows in zip(tasks, vectors, strict=True):
            rows[r] = task.metric(seen[id(task.part)]).vector(task.scale)
    return vectors
