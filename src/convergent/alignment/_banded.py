"""Ridge encoding models of several feature spaces, each with its own penalty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from convergent.alignment._banded_fold import BandedFold, Grid
from convergent.alignment._banded_scores import BandedScores
from convergent.alignment._dtype import resolve_dtype
from convergent.alignment._ratios import check_ratios
from convergent.alignment._splits import Index, Split, check_splits
from convergent.alignment._validate import check_alphas, finite_features
from convergent.device import resolve_device
from convergent.errors import ConfigError, ConvergentError, DataError, NumericalError

Floats = NDArray[np.float64]


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
