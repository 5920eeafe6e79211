"""One outer fold of banded ridge: all spaces together, each alone, and all but each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convergent.alignment._banded_scores import FoldScores
from convergent.alignment._constant import is_constant, mean_of, same_rows, settled
from convergent.alignment._himalaya import Bands, Solution, himalaya_backend, solve_bands
from convergent.alignment._ratios import ratios_among
from convergent.alignment._scores import pearson_columns, r2_columns
from convergent.alignment._splits import Split, positions_of
from convergent.alignment.ridge._standardise import standardise

Floats = NDArray[np.float64]


class Grid(NamedTuple):
    """Candidates: alphas, shape (alpha,), and ratios, shape (ratio, space)."""

    alphas: Floats
    ratios: Floats


@dataclass(frozen=True)
class BandedFold:
    """One outer fold, standardised by its training rows.

    Attributes
    ----------
    bands : Bands
    y : Tensor, shape (train, target)
        On the device, in the dtype of the solver.
    truth : Tensor of float64, shape (test, target)
        In the units of ``y``, on the CPU.
    mean, sd : Tensor of float64, shape (target,)
    constant : Tensor of bool, shape (target,)
        Whether a target is constant over the training rows.
    """

    bands: Bands
    y: Tensor
    truth: Tensor
    mean: Tensor
    sd: Tensor
    constant: Tensor

    @classmethod
    def prepare(
        cls,
        spaces: Sequence[Floats],
        responses: Floats,
        split: Split,
        inner: Sequence[Split],
        *,
        scale: bool,
        device: torch.device,
        dtype: torch.dtype,
    ) -> BandedFold:
        """Standardise features and responses.

        Parameters
        ----------
        spaces : sequence of ndarray, shape (sample, feature)
        responses : ndarray, shape (sample, target)
        inner : sequence of Split
            Within ``split.train``.
        """
        train, test = [], []
        for features in spaces:
            x, held_out = standardise(
                torch.from_numpy(features[split.train]),
                torch.from_numpy(features[split.test]),
                scale=scale,
            )
            train.append(x.to(device, dtype))
            test.append(held_out.to(device, dtype))
        every = settled(torch.from_numpy(responses))
        y, truth = settled(every[split.train]), settled(every[split.test])
        mean, constant = mean_of(y)[0], is_constant(y)
        centred = torch.where(constant, 0.0, y - mean)
        size = torch.where(constant, 1.0, centred.abs().amax(dim=0))
        sd = torch.where(constant, 1.0, size * (centred / size).square().mean(dim=0).sqrt())
        return cls(
            Bands(
                train,
                test,
                [
                    (positions_of(s.train, split.train), positions_of(s.test, split.train))
                    for s in inner
                ],
            ),
            (centred / sd).to(device, dtype),
            (truth - mean) / sd,
            mean,
            sd,
            constant,
        )

    def score(self, grid: Grid, solver: str, batch: int) -> FoldScores:
        """Fit every combination of spaces that the scores need.

        Parameters
        ----------
        grid : Grid
        solver : {"smaller", "primal", "dual"}
        batch : int
            Targets on the device at once.
        """
        count = len(self.bands.train)

        def fit(*spaces: int) -> Solution:
            bands = self.bands.among(spaces)
            found = solve_bands(
                bands,
                self.y,
                alphas=grid.alphas,
                ratios=ratios_among(grid.ratios, spaces),
                batch=batch,
                dual=bands.dual if solver == "smaller" else solver == "dual",
            )
            if all(same_rows(x) for x in bands.test):  # predictions are then the same as well
                return found._replace(parts=found.parts[:, :1].expand_as(found.parts))
            return found

        def r2(*spaces: int) -> Floats:
            return _numpy(r2_columns(fit(*spaces).parts.sum(dim=0), self.truth))

        joint = fit(*range(count))
        alone = [r2(k) for k in range(count)]
        without = alone[::-1]
        if count > 2:
            without = [r2(*(j for j in range(count) if j != k)) for k in range(count)]
        total = joint.parts.sum(dim=0)
        penalty = np.where(self.constant.numpy(), np.nan, joint.log10_penalty)
        return FoldScores(
            r=_numpy(pearson_columns(total, self.truth)),
            r2=_numpy(r2_columns(total, self.truth)),
            alpha=_alpha(penalty, grid.alphas),
            alone_r2=np.stack(alone),
            without_r2=np.stack(without),
            split_r2=_numpy(split_r2(joint.parts, self.truth)),
            log10_penalty=penalty,
            prediction=_numpy(total * self.sd + self.mean),
        )


def split_r2(parts: Tensor, truth: Tensor) -> Tensor:
    """Divide the R2 of a sum of predictions among them, by the product measure.

    With centred responses y, R2 = sum over k of (2 y'p_k - p_k'p) / y'y for predictions p_k that
    sum to p. The mean of p is none of the spaces' doing; its error is divided equally.

    Parameters
    ----------
    parts : Tensor of float64, shape (space, test, target)
    truth : Tensor of float64, shape (test, target)

    Returns
    -------
    Tensor, shape (space, target)
        Sums to the R2 about the test mean; NaN where the truth is constant.

    References
    ----------
    Dupre la Tour et al., NeuroImage 264 (2022) 119728, section 2.7; Pratt, Proc. Second Int.
    Tampere Conf. in Statistics (1987) 245-260.
    """
    from himalaya.scoring import r2_score_split

    constant = is_constant(truth)
    middle = mean_of(truth)[0]
    offset = parts.sum(dim=0).mean(dim=0) - middle
    # Unit scale, since himalaya holds the mean of the truth against an absolute tolerance.
    centred = torch.where(constant, torch.zeros_like(truth), truth - middle)
    scale = centred.abs().amax(dim=0)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    centred = centred / scale
    level = parts - parts.mean(dim=1, keepdim=True) + offset / parts.shape[0]
    with himalaya_backend(truth.device):
        divided: Tensor = r2_score_split(centred - centred.mean(dim=0), level / scale)
    return torch.where(constant, torch.full_like(divided, torch.nan), divided)


def _alpha(log10_penalty: Floats, alphas: Floats) -> Floats:
    """Return the alpha of the grid that the penalties came from; NaN where they are."""
    common = -np.log10((10.0**-log10_penalty).sum(axis=0))
    index = np.abs(common - np.log10(alphas)[:, None]).argmin(axis=0)
    return np.where(np.isnan(common), np.nan, alphas[index])


def _numpy(values: Tensor) -> Floats:
    array: Floats = values.numpy()
    return array
