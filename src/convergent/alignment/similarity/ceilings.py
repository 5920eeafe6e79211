"""Noise ceiling of representational similarity analysis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Literal, NamedTuple, cast, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from convergent.alignment.similarity.geometry import Geometry, PairIndex, unit
from convergent.alignment.similarity.inputs import check_matrix
from convergent.alignment.similarity.metric import (
    Dissimilarities,
    Metric,
    average_ranks,
    centred_unit,
    rdm_of,
    resolve_metrics,
    whiten,
)
from convergent.alignment.similarity.products import AnyRegion, Floats, regions_of
from convergent.device import resolve_device
from convergent.errors import ConfigError, DataError, DeviceError, NumericalError, did_you_mean

Comparison = Literal["spearman", "pearson", "cosine", "whitened"]


class RsaCeiling(NamedTuple):
    """Between which a model that explains all subjects' RDMs equally well must score.

    Attributes
    ----------
    lower : float
        Mean similarity of each subject's RDM with the mean of the others'.
    upper : float
        Mean similarity with the mean of all, which includes the subject's own.
    """

    lower: float
    upper: float


def rsa_noise_ceiling(rdms: ArrayLike, comparison: Comparison) -> RsaCeiling:
    """Bounds of the score of the best possible model, from the subjects' agreement.

    RDMs are averaged after the normalisation under which their mean is the best prediction:
    centred and scaled to norm 1 (pearson), scaled to norm 1 (cosine, whitened), average ranks
    (spearman, for which the mean of ranks is then ranked again; the mean of ranks maximises the
    mean rho-a exactly and Spearman's coefficient nearly).

    Parameters
    ----------
    rdms : array_like, shape (subject, pair)
        Pairs i < j, row by row.
    comparison : {"spearman", "pearson", "cosine", "whitened"}
        As in the metrics ``rsa_<comparison>``.

    Returns
    -------
    RsaCeiling
        NaN if the comparison is not defined for one of the subjects.

    Raises
    ------
    DataError
        Fewer than two subjects, or a number of pairs that no number of stimuli has.
    NumericalError
        NaN or infinity.
    ConfigError
        Unknown comparison.

    References
    ----------
    Nili et al., PLoS Comput. Biol. 10 (2014) e1003553; Schuett et al., eLife 12 (2023) e82566.
    """
    table = np.array(rdms, dtype=np.float64)
    if table.ndim != 2 or len(table) < 2 or table.shape[1] == 0:
        raise DataError(
            f"RDMs of shape {table.shape}", where="noise ceiling", fix="give two subjects or more"
        )
    if not np.isfinite(table).all():
        raise NumericalError(
            "NaN or infinity in RDMs", where="noise ceiling", fix="leave out the subject"
        )
    return ceiling_of(torch.from_numpy(table), comparison)


def ceiling_of(rdms: Tensor, comparison: Comparison) -> RsaCeiling:
    """Do what `rsa_noise_ceiling` does, of checked RDMs where they lie, (subject, pair)."""
    normal = torch.stack([_normalised(rdm, comparison) for rdm in rdms])
    compared = torch.stack([_vector(rdm, comparison) for rdm in rdms])
    total = normal.sum(0)
    lower = [
        _vector(total - own, comparison) @ rdm for own, rdm in zip(normal, compared, strict=True)
    ]
    upper = compared @ _vector(total, comparison)
    return RsaCeiling(float(torch.stack(lower).mean()), float(upper.mean()))


def _normalised(rdm: Tensor, comparison: str) -> Tensor:
    """Scale an RDM so that the mean over subjects predicts them best, (pair,)."""
    if comparison == "pearson":
        return centred_unit(rdm.clone())
    return average_ranks(rdm) if comparison == "spearman" else unit(rdm.clone())


def _vector(rdm: Tensor, comparison: str) -> Tensor:
    """Pair vector whose inner product is the comparison."""
    if comparison == "pearson":
        return centred_unit(rdm.clone())
    if comparison == "spearman":
        return centred_unit(average_ranks(rdm))
    if comparison == "cosine":
        return unit(rdm.clone())
    if comparison == "whitened":
        return whiten(rdm, PairIndex(_stimuli(rdm.numel()), rdm.device))
    raise ConfigError(
        f"unknown comparison '{comparison}'",
        where="noise ceiling",
        fix=did_you_mean(comparison, ("spearman", "pearson", "cosine", "whitened")),
    )


def _stimuli(pairs: int) -> int:
    n = (1 + math.isqrt(1 + 8 * pairs)) // 2
    if n * (n - 1) // 2 != pairs:
        raise DataError(
            f"{pairs} pairs are not those of any number of stimuli",
            where="noise ceiling",
            fix="give the pairs i < j",
        )
    return n


# Of one region of one subject: made when asked for, None where the subject lacks the region.
View = Callable[[], Geometry | None]

# Matrices (stimulus, stimulus) that a geometry holds once every metric has seen it.
_HELD = 4


class SimilarityCeiling(NamedTuple):
    """Between which a model that explains all subjects equally well must score.

    Attributes
    ----------
    scales : ndarray of float64, shape (scale,)
        NaN for a metric that has no scales.
    lower : ndarray of float64, shape (scale, region)
        Mean score of each subject against the mean of the others.
    upper : ndarray of float64, shape (scale, region)
        Mean score against the mean of all, which includes the subject's own.
    """

    scales: Floats
    lower: Floats
    upper: Floats


def similarity_ceilings(
    responses: Sequence[ArrayLike | Dissimilarities],
    region_indices: Sequence[ArrayLike],
    n_regions: int,
    metrics: Mapping[str, Mapping[str, Any] | None],
    *,
    device: str = "cpu",
    memory: int = 2**31,
) -> dict[str, SimilarityCeiling]:
    """Bounds of the score of the best possible model, from the agreement of subjects.

    Every metric is the inner product of two pair vectors of norm 1. With v_s that of subject s,
    the upper bound is the mean over s of <v_s, m> where m is the mean of all v scaled to norm 1:
    no vector of norm 1 agrees better with all subjects. The lower bound takes for m the mean of
    the other subjects. RDMs are averaged as `rsa_noise_ceiling` does. The mean of nearest
    neighbours is no set of neighbours: the lower bound of ``knn`` is the mean score of pairs of
    subjects, and it has no upper bound (NaN).

    What noise alone adds to every subject's vector counts as agreement in the metrics that are
    above 0 for unrelated data (``rsa_cosine``, ``rsa_whitened``, ``cka_biased``): a model without
    noise may then score below the lower bound.

    Parameters
    ----------
    responses : sequence of array_like, each of shape (stimulus, target)
        One a subject, of the same stimuli in the same order; finite. Or `Dissimilarities`, of
        metrics that need no more.
    region_indices : sequence of array_like of int, each of shape (target,)
        Region of each target, 0 to n_regions - 1; -1 for targets outside all regions.
    n_regions : int
    metrics : mapping of str to (mapping or None)
        Options by the metric's name; None for the defaults.
    device : str
        ``cpu`` or ``cuda[:index]``; everything is float64.
    memory : int
        Bytes within which the geometries of all subjects are kept for the next metric, instead of
        being made again. The pair vectors of all subjects come on top. Results do not depend on it.

    Returns
    -------
    dict of str to SimilarityCeiling
        In the order of ``metrics``. NaN with fewer than two subjects, and in regions that a
        subject does not have or where the metric is not defined for one of them.

    Raises
    ------
    NumericalError
        NaN or infinity.
    DataError
        No subject, subjects that differ in stimuli, or too few stimuli for a metric.
    ConfigError
        Unknown metrics or options.
    DeviceError
        The device does not exist or has too little memory.

    References
    ----------
    Nili et al., PLoS Comput. Biol. 10 (2014) e1003553 (RDMs; here of any pair vector).
    """
    place, chosen = torch.device(resolve_device(device)), resolve_metrics(metrics)
    n, subjects = _subjects(responses, region_indices, n_regions)
    pairs = PairIndex(n, place)
    # a representation that tells no stimuli apart: metrics say their scales and compute nothing
    blank = Geometry.of(np.zeros((n, 1)), pairs)
    found = [
        SimilarityCeiling(scales, *np.full((2, scales.size, n_regions), np.nan))
        for scales in (metric(blank).scales for metric in chosen)
    ]
    keep = len(subjects) * _HELD * 8 * n**2 <= memory
    try:
        for r in range(n_regions):
            if len(subjects) < 2 or any(regions[r].columns.size == 0 for regions in subjects):
                continue
            views: list[View] = [partial(regions[r].geometry, pairs) for regions in subjects]
            views = [cache(view) for view in views] if keep else views
            for metric, bounds in zip(chosen, found, strict=True):
                for scale in range(bounds.scales.size):
                    low, high = _bounds(metric, scale, views)
                    bounds.lower[scale, r], bounds.upper[scale, r] = low, high
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"device '{device}' is out of memory", where="similarity", fix="give less memory="
        ) from error
    return {metric.name: bounds for metric, bounds in zip(chosen, found, strict=True)}


def _subjects(
    responses: Sequence[ArrayLike | Dissimilarities],
    region_indices: Sequence[ArrayLike],
    n_regions: int,
) -> tuple[int, list[list[AnyRegion]]]:
    """Check what is given; number of stimuli, and each subject's regions."""
    if not responses or len(responses) != len(region_indices):
        raise DataError(
            f"responses of {len(responses)} subjects and region indices of {len(region_indices)}",
            where="noise ceiling",
            fix="give one of each for every subject",
        )
    first = responses[0]
    if not isinstance(first, Dissimilarities):
        first = check_matrix(first, "target")
    n = first.shape[0]
    subjects = []
    for data, index in zip(responses, region_indices, strict=True):
        subjects.append(regions_of(data, index, n_regions, n))
    return n, subjects


def _bounds(metric: Metric, scale: int, views: Sequence[View]) -> tuple[float, float]:
    comparison = metric.name.removeprefix("rsa_")
    if metric.name.startswith("rsa_") and comparison in get_args(Comparison):
        return _of_rdms(views, cast(Comparison, comparison))
    vectors = torch.stack([_shared_vector(metric, scale, view) for view in views])
    return _of_means(vectors) if metric.averages else _of_pairs(vectors)


def _of_rdms(views: Sequence[View], comparison: Comparison) -> tuple[float, float]:
    rdms = []
    for view in views:
        geometry = view()
        settle = comparison == "spearman"  # as in the metric
        rdm = None if geometry is None else rdm_of(geometry, settle=settle)
        if rdm is None:
            return np.nan, np.nan
        rdms.append(rdm)
    return ceiling_of(torch.stack(rdms), comparison)


def _shared_vector(metric: Metric, scale: int, view: View) -> Tensor:
    geometry = view()
    assert geometry is not None
    return metric(geometry).vector(scale)


def _of_means(vectors: Tensor) -> tuple[float, float]:
    """Lower and upper bound from vectors of norm 1, (subject, pair)."""
    total = vectors.sum(0)
    # means that cancel out but for rounding predict nothing: not defined
    lower = [own @ unit(total - own, 1.0) for own in vectors]
    upper = vectors @ unit(total, 1.0)
    return float(torch.stack(lower).mean()), float(upper.mean())


def _of_pairs(vectors: Tensor) -> tuple[float, float]:
    """Mean inner product of two different subjects, and no upper bound."""
    products = vectors @ vectors.T
    number = len(vectors) * (len(vectors) - 1)
    return float((products.sum() - products.trace()) / number), np.nan
