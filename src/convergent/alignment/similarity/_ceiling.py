"""Noise ceiling of representational similarity analysis."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from convergent.alignment.similarity._pairs import PairIndex, unit
from convergent.alignment.similarity._rsa import average_ranks, centred_unit, whiten
from convergent.errors import ConfigError, DataError, NumericalError, did_you_mean

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
