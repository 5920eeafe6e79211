"""One subject's side of a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from convergent.alignment import Problem
from convergent.alignment._orders import Orders
from convergent.alignment.similarity._inputs import (
    Index,
    check_permutations,
    orders_within,
)
from convergent.alignment.similarity._metric import Metric
from convergent.alignment.similarity._products import AnyRegion, Floats, Part, Task, regions_of
from convergent.alignment.similarity._scores import SimilarityScores


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
