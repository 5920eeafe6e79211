"""Inner products of the features' pair vectors, permuted, with those of many regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby, product
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment import Problem
from convergent.alignment.orders import Orders
from convergent.alignment.similarity.geometry import Geometry, PairIndex, PairKind, PairVectors
from convergent.alignment.similarity.inputs import (
    Blocks,
    Index,
    check_permutations,
    check_responses,
    orders_within,
    plan_blocks,
    region_columns,
)
from convergent.alignment.similarity.metric import (
    Dissimilarities,
    MeasuredRegion,
    Metric,
    measured_regions,
)

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


AnyRegion = Region | MeasuredRegion


def regions_of(
    responses: Any, region_index: ArrayLike | None, n_regions: int, stimuli: int
) -> list[AnyRegion]:
    """Regions of one subject, from responses or `Dissimilarities`, checked.

    Raises
    ------
    DataError, NumericalError
    """
    if isinstance(responses, Dissimilarities):
        return [*measured_regions(responses, region_index, n_regions, stimuli)]
    y = check_responses(responses, stimuli)
    columns = region_columns(region_index, y.shape[1], n_regions)
    return [Region(y, members) for members in columns]


@dataclass(frozen=True, eq=False)
class Task:
    """One pair vector of each layer: a metric at a scale, over a part of the stimuli.

    Attributes
    ----------
    metric : Metric
    part : Part
    made : tuple of PairVectors
        One a layer.
    scale : int
    """

    metric: Metric
    part: Part
    made: tuple[PairVectors, ...]
    scale: int

    @property
    def kind(self) -> PairKind:
        """Which pairs the metric compares."""
        return self.made[0].kind

    @property
    def scales(self) -> Floats:
        """All scales of the metric."""
        return self.made[0].scales

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return self.part.pairs.count(self.kind)

    def matrix(self, layer: int, dtype: torch.dtype) -> Tensor:
        """Pair vector of a layer as a flat matrix, to be permuted, (stimulus * stimulus,)."""
        vector = self.made[layer].vector(self.scale).to(dtype)
        return self.part.pairs.unpack(vector, self.kind).view(-1)


def make_tasks(
    layers: Sequence[Geometry], parts: Sequence[Part], metrics: Sequence[Metric]
) -> list[Task]:
    """List the pair vectors of the layers: every metric at every scale, in every part."""
    tasks = []
    for part in parts:
        seen = [part.of(geometry) for geometry in layers]
        sides = [(metric, tuple(metric(view) for view in seen)) for metric in metrics]
        for metric, made in sorted(sides, key=lambda side: side[1][0].kind.name):
            tasks += [Task(metric, part, made, scale) for scale in range(made[0].scales.size)]
    return tasks


def inner_products(
    tasks: Sequence[Task],
    subjects: Sequence[Sequence[AnyRegion]],
    orders: Sequence[Orders],
    *,
    whole: PairIndex,
    memory: int,
    dtype: torch.dtype,
) -> list[Floats]:
    """Score every task of every layer in every region, for every row order of the responses.

    ``sum_ij A_ij B_o(i)o(j) = sum_ij A_q(i)q(j) B_ij`` with q the inverse of o: the features'
    vectors are permuted, and the regions' stay.

    Parameters
    ----------
    tasks : sequence of Task
        Those of one part and kind of pairs next to each other.
    subjects : sequence of sequence of Region
        As many regions of each subject.
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
    list of ndarray of float64, shape (subject, layer, order, region)
        One a task.
    """
    number, layers, regions = len(orders[0]), len(tasks[0].made), len(subjects[0])
    most = max(task.pairs for task in tasks)
    blocks = plan_blocks(
        layers=layers,
        vectors=len(tasks),
        regions=regions,
        orders=number,
        stimuli=whole.n,
        pairs=most,
        item_bytes=dtype.itemsize,
        memory=memory,
    )
    space = _Space.of(blocks, most, dtype, whole)
    found = [np.full((len(subjects), layers, number, regions), np.nan) for _ in tasks]
    pieces = product(range(0, layers, blocks.layers), range(0, len(tasks), blocks.vectors))
    for one, start in pieces:
        there = range(one, min(one + blocks.layers, layers))
        some = range(start, min(start + blocks.vectors, len(tasks)))
        matrices = {(t, k): tasks[t].matrix(k, dtype) for t in some for k in there}
        for who, first in product(range(len(subjects)), range(0, regions, blocks.regions)):
            last = min(first + blocks.regions, regions)
            brains = subjects[who][first:last]
            sides = space.region_vectors([tasks[t] for t in some], brains, whole)
            right = dict(zip(some, sides, strict=True))
            for _, alike in groupby(some, lambda t: (id(tasks[t].part), tasks[t].kind)):
                group = list(alike)
                inverse = torch.from_numpy(np.argsort(orders[group[0]], axis=1)).to(whole.device)
                for low in range(0, number, blocks.orders):
                    high = min(low + blocks.orders, number)
                    index = space.permuted_pairs(tasks[group[0]], inverse[low:high])
                    for t, k in product(group, there):
                        scores = space.gather(matrices[t, k], index) @ right[t].T
                        found[t][who, k, low:high, first:last] = scores.cpu().numpy()
    return found


@dataclass(frozen=True, eq=False)
class _Space:
    """Memory that is used again and again: fresh pages cost as much as what is written to them.

    Attributes
    ----------
    left, index : Tensor, shape (order * pair,)
        Permuted vectors of the features, and where they come from.
    right : Tensor, shape (vector * region * pair,)
        Vectors of the regions.
    """

    left: Tensor
    index: Tensor
    right: Tensor

    @classmethod
    def of(cls, blocks: Blocks, pairs: int, dtype: torch.dtype, whole: PairIndex) -> _Space:
        """Take the memory of a block."""
        left = torch.empty(blocks.orders * pairs, dtype=dtype, device=whole.device)
        index = torch.empty(blocks.orders * pairs, dtype=whole.dtype, device=whole.device)
        return cls(left, index, left.new_empty(blocks.vectors * blocks.regions * pairs))

    def permuted_pairs(self, task: Task, orders: Tensor) -> Tensor:
        """Where each permuted pair lies, (order, pair)."""
        index = self.index[: len(orders) * task.pairs].view(len(orders), task.pairs)
        for row, order in zip(index, orders, strict=True):
            task.part.pairs.permute(order, task.kind, row)
        return index

    def gather(self, matrix: Tensor, index: Tensor) -> Tensor:
        """Permuted vectors of the features, (order, pair)."""
        left = self.left[: index.numel()]
        torch.index_select(matrix, 0, index.view(-1), out=left)
        return left.view(index.shape)

    def region_vectors(
        self, tasks: Sequence[Task], regions: Sequence[AnyRegion], whole: PairIndex
    ) -> list[Tensor]:
        """Pair vectors of the regions for each task, (region, pair); NaN for empty ones."""
        sizes = [len(regions) * task.pairs for task in tasks]
        stock = torch.split(self.right[: sum(sizes)], sizes)
        vectors = [part.view(len(regions), -1) for part in stock]
        for r, region in enumerate(regions):
            geometry = region.geometry(whole)
            parts = {id(task.part): task.part for task in tasks}
            seen = {key: geometry and part.of(geometry) for key, part in parts.items()}
            for task, rows in zip(tasks, vectors, strict=True):
                view = seen[id(task.part)]
                rows[r] = task.metric(view).vector(task.scale) if view else torch.nan
        return vectors


@dataclass(frozen=True)
class SimilarityScores:
    """Scores of one metric.

    NaN where a region is empty, or where the metric is not defined for either side.

    Attributes
    ----------
    scales : ndarray of float64, shape (scale,)
        NaN for a metric that has no scales.
    score : ndarray of float64, shape (scale, region)
    null : ndarray of float64, shape (permutation, scale, region) or None
        The same for permuted responses.
    half_score : ndarray of float64, shape (half, scale, region) or None
        The same from the stimuli of each half only.
    half_null : ndarray of float64, shape (permutation, half, scale, region) or None
    """

    scales: Floats
    score: Floats
    null: Floats | None = None
    half_score: Floats | None = None
    half_null: Floats | None = None

    @classmethod
    def of(
        cls, scales: Floats, parts: list[Floats], *, permuted: bool, halves: bool
    ) -> SimilarityScores:
        """Take the real data and the null apart.

        Parameters
        ----------
        scales : ndarray of float64, shape (scale,)
        parts : list of ndarray of float64, shape (1 + permutation, scale, region)
            All stimuli, then each half; the real data come first.
        permuted, halves : bool
            Whether there are any.
        """
        half = np.stack(parts[1:], axis=1) if halves else None
        return cls(
            scales,
            parts[0][0],
            parts[0][1:] if permuted else None,
            None if half is None else half[0],
            half[1:] if half is not None and permuted else None,
        )


@dataclass(frozen=True, eq=False)
class SubjectSide:
    """Regions of one subject, and what was found of them.

    Attributes
    ----------
    regions : list of Region or MeasuredRegion
    orders : ndarray of int, shape (1 + permutation, stimulus)
        Row orders of the responses; the first changes nothing.
    permuted : bool
        Whether there are permutations.
    values : list of ndarray of float64, shape (layer, 1 + permutation, region)
        One a task.
    """

    regions: list[AnyRegion]
    orders: Orders
    permuted: bool
    values: list[Floats] = field(default_factory=list)

    @classmethod
    def of(
        cls, problem: Problem, stimuli: int, n_regions: int, halves: Sequence[Index]
    ) -> SubjectSide:
        """Check the responses, the regions and the orders."""
        regions = regions_of(problem.responses, problem.region_index, n_regions, stimuli)
        orders = check_permutations(problem.permutations, stimuli, halves)
        real = np.arange(stimuli)[None]
        return cls(
            regions,
            real if orders is None else np.concatenate([real, orders]),
            orders is not None,
        )

    def orders_of(self, part: Part) -> Orders:
        """Row orders within a part, (1 + permutation, stimulus of the part)."""
        return self.orders if part.rows is None else orders_within(self.orders, part.rows)

    def scores(
        self, layer: int, tasks: Sequence[Task], metrics: Sequence[Metric], parts: Sequence[Part]
    ) -> dict[str, SimilarityScores]:
        """Put a layer's values together, metric by metric."""
        found: dict[tuple[str, int], list[Floats]] = {}
        scales: dict[str, Floats] = {}
        for task, values in zip(tasks, self.values, strict=True):
            found.setdefault((task.metric.name, id(task.part)), []).append(values[layer])
            scales[task.metric.name] = task.scales
        return {
            metric.name: SimilarityScores.of(
                scales[metric.name],
                [np.stack(found[metric.name, id(part)], axis=1) for part in parts],
                permuted=self.permuted,
                halves=len(parts) > 1,
            )
            for metric in metrics
        }


def with_equal_orders(subjects: Iterable[SubjectSide]) -> list[list[SubjectSide]]:
    """Group the subjects whose responses are permuted alike."""
    groups: list[list[SubjectSide]] = []
    for subject in subjects:
        for group in groups:
            if np.array_equal(group[0].orders, subject.orders):
                group.append(subject)
                break
        else:
            groups.append([subject])
    return groups
