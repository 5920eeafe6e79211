"""Ridge encoding models of several feature spaces, each with its own penalty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from convergent.alignment.checks import check_alphas, finite_features, resolve_dtype
from convergent.alignment.constant import is_constant, mean_of, same_rows, settled
from convergent.alignment.himalaya import Bands, Solution, himalaya_backend, solve_bands
from convergent.alignment.means import Partition, mean_defined, partition
from convergent.alignment.ridge.space import standardise
from convergent.alignment.scores import check_ratios, pearson_columns, r2_columns, ratios_among
from convergent.alignment.splits import Index, Split, check_splits, positions_of
from convergent.device import resolve_device
from convergent.errors import ConfigError, ConvergentError, DataError, NumericalError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FoldScores:
    """Scores on one fold; `BandedScores` says what they are.

    Attributes
    ----------
    r, r2, alpha : ndarray of float64, shape (target,)
    alone_r2, without_r2, split_r2, log10_penalty : ndarray of float64, shape (space, target)
    prediction : ndarray of float64, shape (test, target)
    """

    r: Floats
    r2: Floats
    alpha: Floats
    alone_r2: Floats
    without_r2: Floats
    split_r2: Floats
    log10_penalty: Floats
    prediction: Floats


@dataclass(frozen=True)
class BandedScores:
    """Held-out scores of several feature spaces, together and apart.

    Attributes
    ----------
    spaces : tuple of str
        Names, in the order of the space axes.
    r, r2 : ndarray of float64, shape (target,)
        Of all spaces together: means over the folds in which the target is not constant; NaN if
        there is none. The other means are taken likewise.
    alone_r2 : ndarray of float64, shape (space, target)
        R2 of a ridge model of each space alone.
    without_r2 : ndarray of float64, shape (space, target)
        R2 of a banded ridge model of all spaces but one. With two, that of the other alone.
    split_r2 : ndarray of float64, shape (space, target)
        Product measure: each space's part in the R2 of the joint model, to which they sum. The
        error of the predicted mean, which is no space's, is divided equally.
    fold_r, fold_r2, fold_alone_r2, fold_without_r2, fold_split_r2 : ndarray of float64
        The same for each fold, with the fold as first axis. R2 is about the test mean.
    log10_penalty : ndarray of float64, shape (fold, space, target)
        Chosen for the joint model; NaN for targets that are constant over the training samples.
    alpha : ndarray of float64, shape (fold, target)
        The penalties' common part: 1 / alpha is the sum over spaces of 1 / penalty.
    alpha_at_edge : ndarray of bool, shape (fold, target)
        The smallest or largest alpha was chosen; never with a grid of one.
    predictions : ndarray of float64, shape (sample, target), or None
        Held-out predictions of the joint model in the units of the responses; NaN for samples
        never tested.
    """

    spaces: tuple[str, ...]
    r: Floats
    r2: Floats
    alone_r2: Floats
    without_r2: Floats
    split_r2: Floats
    fold_r: Floats
    fold_r2: Floats
    fold_alone_r2: Floats
    fold_without_r2: Floats
    fold_split_r2: Floats
    log10_penalty: Floats
    alpha: Floats
    alpha_at_edge: NDArray[np.bool_]
    predictions: Floats | None = None

    @property
    def partition(self) -> Partition:
        """Unique and shared parts of the mean R2."""
        return partition(self.r2, self.without_r2)

    @classmethod
    def gather(
        cls,
        spaces: tuple[str, ...],
        folds: Sequence[FoldScores],
        alphas: Floats,
        predictions: Floats | None,
    ) -> BandedScores:
        """Put the folds together."""

        def stack(name: str) -> Floats:
            return np.stack([getattr(fold, name) for fold in folds])

        names = ("r", "r2", "alone_r2", "without_r2", "split_r2")
        by_fold = {f"fold_{name}": stack(name) for name in names}
        means = {name: mean_defined(by_fold[f"fold_{name}"]) for name in names}
        alpha = stack("alpha")
        return cls(
            spaces=spaces,
            **means,
            **by_fold,
            log10_penalty=stack("log10_penalty"),
            alpha=alpha,
            alpha_at_edge=(alphas.size > 1) & np.isin(alpha, alphas[[0, -1]]),
            predictions=predictions,
        )


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


def fit_banded(
    spaces: Mapping[str, ArrayLike],
    responses: ArrayLike,
    splits: Sequence[Split],
    *,
    inner_splits: Callable[[Index], Sequence[Split]],
    alphas: ArrayLike,
    ratios: ArrayLike,
    standardize: bool = True,
    solver: Literal["smaller", "primal", "dual"] = "smaller",
    return_predictions: bool = False,
    target_batch: int = 4096,
    device: str = "cpu",
    dtype: str = "float64",
) -> BandedScores:
    """Fit responses = mean + sum over spaces of features @ weights, with a penalty for each space.

    The penalty of space k is alpha / ratio_k; alpha and the ratios are chosen for each target by
    the mean squared error over inner folds. Spaces of very different width or relevance need
    different penalties: with a common one, a wide space of noise drowns a narrow one of signal.
    For variance partitioning the spaces are also fitted alone, and, where there are more than
    two, all but one together; by the same folds and alphas, and by the same ratios among the
    spaces that are left.

    Per outer fold, everything is fitted to the training samples only: the mean and sd of
    features and responses, the penalties and the weights. Inner folds are centred on their own
    training rows; they keep the scale of the outer ones.

    Parameters
    ----------
    spaces : mapping of str to array_like, shape (sample, feature)
        Two or more; finite. Features constant over a training set get weight exactly 0.
    responses : array_like, shape (sample, target)
        Finite.
    splits : sequence of Split
        Outer folds (`item_splits`, `story_splits`).
    inner_splits : callable
        From the outer training rows to inner folds, as row indices of the complete data
        (`inner_item_splits`, `inner_story_splits`).
    alphas : array_like, shape (alpha,)
        Positive and increasing.
    ratios : array_like, shape (ratio, space)
        Positive weights of the spaces, scaled to sum to 1 (`ratio_grid`). Weights of equal size
        give every space the penalty alpha times the number of spaces.
    standardize : bool
        Scale features to unit training variance (they are always centred).
    solver : {"smaller", "primal", "dual"}
        Solve for weights of features, or of samples through kernels. They agree but for
        rounding; "smaller" takes the dual form if there are at most as many samples as features.
    return_predictions : bool
        Keep held-out predictions; the test sets must be disjoint.
    target_batch : int
        Targets on the device at once; halved when memory runs out. Results do not depend on it
        beyond rounding.
    device : str
        ``cpu`` or ``cuda[:index]``.
    dtype : str
        ``float64``, or ``float32`` for the solver; standardisation and scores are in float64.
        In float32 the dual form cannot choose an alpha below the rounding of the kernel's
        eigenvalues, about 1e-7 of the largest one.

    Returns
    -------
    BandedScores

    Raises
    ------
    NumericalError
        NaN or infinity in features or responses.
    DataError
        Features and responses differ in samples.
    ConfigError
        Fewer than two spaces, or bad alphas, ratios or folds.
    DeviceError
        The device does not exist or cannot hold one target.

    Notes
    -----
    himalaya solves the fits. Its backend is a global, set here and restored: fits in threads of
    one process would disturb each other.

    References
    ----------
    Nunez-Elizalde, Huth & Gallant, NeuroImage 197 (2019) 482-492 (banded ridge, eq. 8); Dupre la
    Tour, Eickenberg, Nunez-Elizalde & Gallant, NeuroImage 264 (2022) 119728 (random search over
    the simplex; product measure, section 2.7).
    """
    torch_device, torch_dtype = torch.device(resolve_device(device)), resolve_dtype(dtype)
    x, y = _samples(spaces, responses)
    grid = Grid(check_alphas(alphas), check_ratios(ratios, len(x)))
    if target_batch < 1:
        raise ConfigError(
            f"target_batch is {target_batch}", where="banded ridge", fix="use 1 or more"
        )
    if solver not in ("smaller", "primal", "dual"):
        raise ConfigError(
            f"solver '{solver}' is not known",
            where="banded ridge",
            fix="use smaller, primal or dual",
        )
    n = y.shape[0]
    check_splits(splits, n)
    predictions = _no_predictions(splits, y) if return_predictions else None

    folds = []
    for split in splits:
        inner = inner_splits(split.train)
        check_splits(inner, n, within=split.train)
        fold = BandedFold.prepare(
            list(x.values()),
            y,
            split,
            inner,
            scale=standardize,
            device=torch_device,
            dtype=torch_dtype,
        )
        scores = fold.score(grid, solver, target_batch)
        if predictions is not None:
            predictions[split.test] = scores.prediction
        folds.append(scores)
    return BandedScores.gather(tuple(x), folds, grid.alphas, predictions)


def _samples(
    spaces: Mapping[str, ArrayLike], responses: ArrayLike
) -> tuple[dict[str, Floats], Floats]:
    """Check features and responses, naming the space that is at fault."""
    if len(spaces) < 2:
        raise ConfigError(
            f"{len(spaces)} feature space",
            where="banded ridge",
            fix="use fit_ridge for one space, or give two or more",
        )
    y = _finite_responses(responses)
    checked = {}
    for name, features in spaces.items():
        try:
            checked[name] = finite_features(features).astype(np.float64)
        except ConvergentError as error:
            raise type(error)(error.what, where=f"space '{name}'", fix=error.fix) from error
        if checked[name].shape[0] != y.shape[0]:
            raise DataError(
                f"{checked[name].shape[0]} samples of features and {y.shape[0]} of responses",
                where=f"space '{name}'",
                fix="join stimuli and responses by id first",
            )
    return checked, y


def _finite_responses(responses: ArrayLike) -> Floats:
    y = np.array(responses, dtype=np.float64)
    if y.ndim != 2 or 0 in y.shape:
        raise DataError(
            f"array of shape {y.shape} where (sample, target) is needed",
            where="banded ridge",
            fix="give two non-empty axes",
        )
    bad = int((~np.isfinite(y)).any(axis=0).sum())
    if bad:
        raise NumericalError(
            f"NaN or infinity in {bad} of {y.shape[1]} targets",
            where="banded ridge",
            fix="leave out the targets or the subject in the reader",
        )
    return y


def _no_predictions(splits: Sequence[Split], y: Floats) -> Floats:
    tested = np.concatenate([split.test for split in splits])
    if np.unique(tested).size != tested.size:
        raise ConfigError(
            "test sets overlap",
            where="banded ridge",
            fix="use disjoint folds to return predictions",
        )
    return np.full(y.shape, np.nan)
