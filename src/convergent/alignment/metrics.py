"""Similarity metrics and their options, without their functions.

A study that is read imports this, and neither torch nor numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from convergent.sections import Different, Real, Section

if TYPE_CHECKING:
    from convergent.alignment.similarity import Geometry, PairVectors


class NoOptions(Section):
    """Options of a metric that has none, and base of those that have."""


Scale = Annotated[Real, Field(gt=0, le=1e6)]


def _scales() -> tuple[float, ...]:
    import numpy as np

    return tuple(float(scale) for scale in np.geomspace(0.25, 4.0, 12))


class RbfOptions(NoOptions):
    """Bandwidths of the Gaussian kernel.

    Attributes
    ----------
    scales : tuple of float
        sigma = scale times the median Euclidean distance over pairs of different stimuli.
    """

    scales: Annotated[tuple[Scale, ...], Field(min_length=1), Different] = Field(
        default_factory=_scales
    )


class KnnOptions(NoOptions):
    """How many neighbours.

    Attributes
    ----------
    k : int
    """

    k: int = Field(default=10, ge=1, strict=True)


@dataclass(frozen=True)
class Similarity:
    """A metric that compares pairs of stimuli; its name is that in `convergent.registry.METRICS`.

    Attributes
    ----------
    function : callable or str
        From the `Geometry` of one representation and the options to its `PairVectors`: it sees one
        representation only, and the score is the inner product of two. Or its ``module:object``,
        so that torch is imported only where scores are computed.
    options : type of NoOptions
        Its fields are the options; unknown ones are refused.
    minimum : int
        Smallest number of stimuli for which the metric means anything.
    averages : bool
        Whether the mean of several subjects' pair vectors describes what they share; else their
        noise ceiling is that of pairs of subjects (`similarity_ceilings`).
    dissimilarities : bool
        Whether distances between stimuli are all that the metric needs (`Dissimilarities`).
    has_scales : bool
        Whether the metric is a curve over scales, and no single number.
    """

    function: Callable[[Geometry, Any], PairVectors] | str
    options: type[NoOptions] = NoOptions
    minimum: int = 3
    averages: bool = True
    dissimilarities: bool = False
    has_scales: bool = False


_HERE = "convergent.alignment.similarity"
CKA = Similarity(f"{_HERE}.metric:cka", minimum=4)
CKA_BIASED = Similarity(f"{_HERE}.metric:cka_biased")
CKA_RBF = Similarity(f"{_HERE}.metric:cka_rbf", RbfOptions, minimum=4, has_scales=True)
CKA_RBF_BIASED = Similarity(f"{_HERE}.metric:cka_rbf_biased", RbfOptions, has_scales=True)
KNN = Similarity(f"{_HERE}.metric:knn", KnnOptions, averages=False)
RSA_COSINE = Similarity(f"{_HERE}.metric:rsa_cosine", dissimilarities=True)
RSA_PEARSON = Similarity(f"{_HERE}.metric:rsa_pearson", dissimilarities=True)
RSA_SPEARMAN = Similarity(f"{_HERE}.metric:rsa_spearman", dissimilarities=True)
RSA_WHITENED = Similarity(f"{_HERE}.metric:rsa_whitened", dissimilarities=True)
