"""Centred kernel alignment, debiased and biased, linear and Gaussian."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from convergent.alignment.metrics import NoOptions, RbfOptions
from convergent.alignment.similarity._geometry import Geometry
from convergent.alignment.similarity._pairs import (
    PairKind,
    PairVectors,
    undefined,
    unit,
)


def cka(geometry: Geometry, options: NoOptions) -> PairVectors:
    """Debiased linear CKA: cosine of the U-centred kernels of features and responses.

    With U-centred kernels A and B, ``sum over i != j of A_ij B_ij / (n (n - 3))`` is the unbiased
    estimator HSIC_u, and the mean of the score over all permutations of the stimuli is exactly 0.
    It may be negative.

    References
    ----------
    Song et al., J. Mach. Learn. Res. 13 (2012) 1393-1434, eq. 5 (HSIC_u); Szekely & Rizzo, Ann.
    Statist. 42 (2014) 2382-2412, eq. 2.3 (U-centring); Kornblith et al., ICML 2019 (CKA).
    """
    return PairVectors.single(
        PairKind.UPPER, lambda: _u_centred(geometry, geometry.centred.clone())
    )


def cka_rbf(geometry: Geometry, options: RbfOptions) -> PairVectors:
    """Debiased CKA with Gaussian kernels, as `cka`, for a sweep of bandwidths."""
    return _sweep(geometry, options, PairKind.UPPER, _u_centred)


def cka_biased(geometry: Geometry, options: NoOptions) -> PairVectors:
    """Biased linear CKA: cosine of HKH and HLH with H = I - 11'/n, diagonals included.

    It is above 0 for unrelated representations, the more so the more dimensions they have; use it
    only to compare with published numbers.

    References
    ----------
    Kornblith et al., ICML 2019, arXiv:1905.00414, eqs. 2 and 4.
    """
    return PairVectors.single(
        PairKind.SYMMETRIC, lambda: unit(geometry.pairs.pack(geometry.centred, PairKind.SYMMETRIC))
    )


def cka_rbf_biased(geometry: Geometry, options: RbfOptions) -> PairVectors:
    """Biased CKA with Gaussian kernels, as `cka_biased`, for a sweep of bandwidths."""
    return _sweep(geometry, options, PairKind.SYMMETRIC, _h_centred)


def _sweep(
    geometry: Geometry,
    options: RbfOptions,
    kind: PairKind,
    centre: Callable[[Geometry, Tensor], Tensor],
) -> PairVectors:
    def vector(index: int) -> Tensor:
        sigma = options.scales[index] * geometry.median_distance
        if not sigma > 0:  # more than half of the pairs are of equal patterns
            return undefined(geometry.pairs, kind)
        return centre(geometry, torch.mul(geometry.squared_distances, -0.5 / sigma**2).exp_())

    return PairVectors(kind, np.array(options.scales), vector)


def _u_centred(geometry: Geometry, kernel: Tensor) -> Tensor:
    """U-centre a kernel (in place) and scale its pairs i < j to norm 1."""
    n = geometry.n
    kernel.fill_diagonal_(0.0)
    before = torch.linalg.vector_norm(kernel)
    row = kernel.sum(1) / (n - 2)
    row -= row.sum() / (2 * (n - 1))
    kernel -= row
    kernel -= row[:, None]
    return unit(geometry.pairs.pack(kernel, PairKind.UPPER), before)


def _h_centred(geometry: Geometry, kernel: Tensor) -> Tensor:
    """Centre a kernel (in place) as HKH and scale it to norm 1."""
    before = torch.linalg.vector_norm(kernel)
    row = kernel.mean(1)
    row -= row.mean() / 2
    kernel -= row
    kernel -= row[:, None]
    return unit(geometry.pairs.pack(kernel, PairKind.SYMMETRIC), before)
