"""Similarity of a model's layer and brain regions, with permutation nulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike

from convergent.alignment import Problem
from convergent.alignment.checks import resolve_dtype
from convergent.alignment.similarity.geometry import Geometry, PairIndex
from convergent.alignment.similarity.inputs import (
    check_halves,
    check_matrix,
)
from convergent.alignment.similarity.metric import resolve_metrics
from convergent.alignment.similarity.products import (
    Part,
    SimilarityScores,
    SubjectSide,
    inner_products,
    make_tasks,
    with_equal_orders,
)
from convergent.device import resolve_device
from convergent.errors import DataError, DeviceError

Metrics = Mapping[str, Mapping[str, Any] | None]


def compare(
    features: ArrayLike,
    responses: ArrayLike,
    region_index: ArrayLike,
    n_regions: int,
    metrics: Metrics,
    *,
    permutations: ArrayLike | None = None,
    halves: Sequence[ArrayLike] | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    memory: int = 2**31,
) -> dict[str, SimilarityScores]:
    """Compare one layer with every region, by every metric.

    Parameters
    ----------
    features : array_like, shape (stimulus, feature)
        Finite.
    responses : array_like, shape (stimulus, target)
        Finite, rows as those of the features.
    region_index : array_like of int, shape (target,)
        Region of each target, 0 to n_regions - 1; -1 for targets outside all regions.
    n_regions : int
    metrics : mapping of str to (mapping or None)
        Options by the metric's name (`similarity_names`); None for the defaults.
    permutations : array_like of int, shape (permutation, stimulus), optional
        Row orders of the responses (`item_orders`). What a metric makes of each representation is
        permuted with its stimuli: the null is the score of ``responses[order]``.
    halves : sequence of array_like of int, optional
        Two or more disjoint sets of rows. The metrics are also computed within each (its own
        centring and median distance), so that a layer can be chosen on one and scored on another.
        Permutations must then map each to itself.
    device : str
        ``cpu`` or ``cuda[:index]``.
    dtype : str
        ``float32`` or ``float64``, for the inner products of pair vectors, which are made in
        float64.
    memory : int
        Bytes for pair vectors at once. The geometry of the layer and of one region and the indices
        of pairs, about 16 float64 matrices (stimulus, stimulus), come on top. Results do not
        depend on it beyond rounding.

    Returns
    -------
    dict of str to SimilarityScores
        In the order of ``metrics``.

    Raises
    ------
    NumericalError
        NaN or infinity in features or responses.
    DataError
        Features and responses differ in stimuli, or there are too few for a metric.
    ConfigError
        Unknown metrics or options, or permutations or halves that are not what they should be.
    DeviceError
        The device does not exist or has too little memory.
    """
    (scores,) = compare_subjects(
        features,
        [Problem(responses, permutations, region_index)],
        n_regions,
        metrics,
        halves=halves,
        device=device,
        dtype=dtype,
        memory=memory,
    )
    return scores


def compare_subjects(
    features: ArrayLike,
    problems: Sequence[Problem],
    n_regions: int,
    metrics: Metrics,
    *,
    halves: Sequence[ArrayLike] | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    memory: int = 2**31,
) -> list[dict[str, SimilarityScores]]:
    """Do what `compare` does for several subjects who saw the same stimuli.

    The features are read once for all of them. Each subject's scores are, bit for bit, those of a
    call of its own.

    Parameters
    ----------
    features : array_like, shape (stimulus, feature)
    problems : sequence of Problem
        One a subject, with its region index; the same stimuli in the same order.
    n_regions : int
        Regions of the atlas; those that a subject does not have are NaN.
    metrics, halves, device, dtype, memory
        See `compare`.

    Returns
    -------
    list of dict of str to SimilarityScores
        In the order of ``problems``.
    """
    (scores,) = compare_layers(
        [features],
        problems,
        n_regions,
        metrics,
        halves=halves,
        device=device,
        dtype=dtype,
        memory=memory,
    )
    return scores


def compare_layers(
    layers: Sequence[ArrayLike],
    problems: Sequence[Problem],
    n_regions: int,
    metrics: Metrics,
    *,
    halves: Sequence[ArrayLike] | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    memory: int = 2**31,
) -> list[list[dict[str, SimilarityScores]]]:
    """Do what `compare_subjects` does for several layers.

    What a metric makes of the regions does not depend on the layer, and is made once for all of
    them: with few permutations that is most of the work. Each layer's scores are, bit for bit,
    those of a call of its own.

    Parameters
    ----------
    layers : sequence of array_like, each of shape (stimulus, feature)
        The same stimuli in the same order, any width.
    problems, n_regions, metrics, halves, device, dtype, memory
        See `compare_subjects`. Of every layer, a few float64 matrices (stimulus, stimulus) come on
        top of the memory.

    Returns
    -------
    list of list of dict of str to SimilarityScores
        In the order of ``layers``, and within it of ``problems``.
    """
    place, precision = torch.device(resolve_device(device)), resolve_dtype(dtype)
    chosen = resolve_metrics(metrics)
    arrays = [check_matrix(features, "feature") for features in layers]
    stimuli = {array.shape[0] for array in arrays}
    if len(stimuli) != 1:
        raise DataError(
            f"layers of {len(stimuli)} different numbers of stimuli",
            where="similarity",
            fix="give one or more layers of the same stimuli",
        )
    (n,) = stimuli
    rows = check_halves(halves, n)
    subjects = [SubjectSide.of(problem, n, n_regions, rows) for problem in problems]
    whole = Part(None, PairIndex(n, place))
    parts = [whole, *(Part(half, PairIndex(half.size, place)) for half in rows)]
    block = max(1, memory // (64 * n))
    try:
        geometries = [Geometry.of(x, whole.pairs, block=block) for x in arrays]
        tasks = make_tasks(geometries, parts, chosen)
        for group in with_equal_orders(subjects):
            values = inner_products(
                tasks,
                [subject.regions for subject in group],
                [group[0].orders_of(task.part) for task in tasks],
                whole=whole.pairs,
                memory=memory,
                dtype=precision,
            )
            for i, subject in enumerate(group):
                subject.values.extend(products[i] for products in values)
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"device '{device}' is out of memory", where="similarity", fix="give less memory="
        ) from error
    return [
        [subject.scores(layer, tasks, chosen, parts) for subject in subjects]
        for layer in range(len(arrays))
    ]
