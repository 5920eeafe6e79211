"""Cross-validated ridge encoding models, with alpha chosen per target and permutation nulls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from convergent.alignment.checks import check_alphas, finite_floats, resolve_dtype
from convergent.alignment.ridge.folds import (
    Fold,
    InnerFolds,
    PrincipalSource,
    Problem,
    RidgeScores,
    SubjectFit,
    Work,
)
from convergent.alignment.ridge.solve import GcvFold, LooFold, diagonalise
from convergent.alignment.ridge.space import Gram, Source, smaller_space, source
from convergent.alignment.ridge.targets import Missing, Streamed
from convergent.alignment.splits import Index, Split, check_splits
from convergent.device import resolve_device
from convergent.errors import ConfigError

Floats = NDArray[np.float64]
Design = Literal["items", "story"]
Selection = Literal["gcv", "loo", "folds"]
InnerSplits = Callable[[Index], Sequence[Split]]


def fit_ridge(
    features: ArrayLike | Gram,
    responses: ArrayLike | Streamed,
    splits: Sequence[Split],
    *,
    design: Design,
    alphas: ArrayLike,
    selection: Selection | None = None,
    inner_splits: InnerSplits | None = None,
    force: bool = False,
    standardize: bool = True,
    components: int | None = None,
    permutations: ArrayLike | None = None,
    region_index: ArrayLike | None = None,
    return_predictions: bool = False,
    missing: Missing = "error",
    target_batch: int = 1024,
    device: str = "cpu",
    dtype: str = "float64",
) -> RidgeScores:
    """Fit responses = mean + features @ weights by ridge and score held-out samples.

    Per outer fold, everything is fitted to the training samples only: the mean and sd of the
    features, the mean of the responses, alpha per target, and the weights. Responses are also
    scaled to unit training variance, which changes neither the chosen alphas nor any score.
    Permutations reorder the rows of the responses and reuse the factorisation of the features;
    alpha is chosen anew for each.

    Parameters
    ----------
    features : array_like, shape (sample, feature), or Gram
        Finite. Features constant over a training set get weight exactly 0. Inner products alone
        will do, unscaled (``standardize=False``).
    responses : array_like or Streamed, shape (sample, target)
        See `Problem`.
    splits : sequence of Split
        Outer folds (`item_splits`, `story_splits`), or one split into training and test.
    design : {"items", "story"}
        Independent samples, or volumes of one time series.
    alphas : array_like, shape (alpha,)
        Positive, increasing penalties on the squared weights.
    selection : {"gcv", "loo", "folds"}, optional
        Generalised cross-validation (default for items; the cheapest by far), leave-one-out in
        closed form, or inner folds (default for a story).
    inner_splits : callable, optional
        From the outer training rows to inner folds, for ``selection="folds"``.
    force : bool
        Allow the first two on a story, where neighbouring volumes leak into each other.
    standardize : bool
        Scale features to unit training variance (they are always centred).
    components : int, optional
        Reduce the features to so many principal components of each fold's training rows.
    permutations, region_index
        See `Problem`.
    return_predictions : bool
        Keep held-out predictions; the test sets must be disjoint.
    missing : {"error", "mask"}
        Refuse NaN and infinity in responses, or leave the targets that have any undefined (NaN)
        and fit the others.
    target_batch : int
        Responses (targets times permutations) on the device at once; halved when memory runs
        out. Results do not depend on it beyond rounding.
    device : str
        ``cpu`` or ``cuda[:index]``.
    dtype : str
        ``float64`` or ``float32``, for products with responses; features are centred, multiplied
        and factorised in float64, and scores computed in it.

    Returns
    -------
    RidgeScores

    Raises
    ------
    NumericalError
        NaN or infinity in features or responses; an alpha too small for the precision.
    DataError
        Features and responses differ in samples.
    ConfigError
        Bad alphas, folds or orders, or a closed form on a story.
    DeviceError
        The device does not exist or cannot hold one target.

    References
    ----------
    Hoerl & Kennard, Technometrics 12 (1970) 55-67; Dupre la Tour et al., NeuroImage 264 (2022)
    119728; Golub, Heath & Wahba, Technometrics 21 (1979) 215-223 (generalised
    cross-validation); Rifkin & Lippert, MIT-CSAIL-TR-2007-025 (leave-one-out in closed form).
    """
    (scores,) = fit_subjects(
        features,
        [Problem(responses, permutations, region_index)],
        splits,
        design=design,
        alphas=alphas,
        selection=selection,
        inner_splits=inner_splits,
        force=force,
        standardize=standardize,
        components=components,
        return_predictions=return_predictions,
        missing=missing,
        target_batch=target_batch,
        device=device,
        dtype=dtype,
    )
    return scores


def fit_subjects(
    features: ArrayLike | Gram,
    problems: Sequence[Problem],
    splits: Sequence[Split],
    *,
    design: Design,
    alphas: ArrayLike,
    selection: Selection | None = None,
    inner_splits: InnerSplits | None = None,
    force: bool = False,
    standardize: bool = True,
    components: int | None = None,
    return_predictions: bool = False,
    missing: Missing = "error",
    target_batch: int = 1024,
    device: str = "cpu",
    dtype: str = "float64",
) -> list[RidgeScores]:
    """Do what `fit_ridge` does for several subjects who saw the same stimuli.

    The features of each fold are factorised once for all of them. Each subject's scores are, bit
    for bit, those of a call of its own.

    Parameters
    ----------
    features : array_like, shape (sample, feature), or Gram
    problems : sequence of Problem
        One a subject; the same samples in the same order.
    splits, design, alphas, selection, inner_splits, force, standardize, components,
    return_predictions, missing, target_batch, device, dtype
        See `fit_ridge`.

    Returns
    -------
    list of RidgeScores
        In the order of ``problems``.
    """
    work = Work(torch.device(resolve_device(device)), resolve_dtype(dtype), target_batch)
    grid = check_alphas(alphas)
    if target_batch < 1:
        raise ConfigError(f"target_batch is {target_batch}", where="ridge", fix="use 1 or more")
    if missing not in get_args(Missing):
        raise ConfigError(f"missing is '{missing}'", where="ridge", fix="use 'error' or 'mask'")
    make_inner = _inner(design, selection, inner_splits, force)
    known = _source(features, work, standardize, len(splits))
    if components is not None:
        known = PrincipalSource(known, components, float(grid[0]))
    subjects = [
        SubjectFit(problem, known.samples, keep=return_predictions, missing=missing)
        for problem in problems
    ]
    check_splits(splits, known.samples)
    if return_predictions and sum(s.test.size for s in splits) != _tested(splits).size:
        raise ConfigError(
            "test sets overlap", where="ridge", fix="use disjoint folds to return predictions"
        )
    for split in splits:
        fold: Fold
        if make_inner is not None:
            inner = make_inner(split.train)
            check_splits(inner, known.samples, within=split.train)
            fold = InnerFolds(known, split, inner, grid, dtype=work.dtype)
        else:
            space = smaller_space(known, split)
            eigen = diagonalise(space, known, split, smallest_alpha=float(grid[0]))
            closed = LooFold if selection == "loo" else GcvFold
            fold = closed(eigen, grid, work.dtype)
        for subject in subjects:
            subject.add(fold, split, work)
    return [subject.scores(grid) for subject in subjects]


def _source(features: ArrayLike | Gram, work: Work, standardize: bool, folds: int) -> Source:
    if isinstance(features, Gram):
        if standardize:
            raise ConfigError(
                "features given as a Gram matrix cannot be scaled by training samples",
                where="ridge",
                fix="use standardize=False, or give the features",
            )
        return source(features, work.device, scale=False, folds=folds)
    x = torch.from_numpy(finite_floats(features)).to(work.device)
    return source(x, work.device, scale=standardize, folds=folds)


def _inner(
    design: Design,
    selection: Selection | None,
    inner_splits: InnerSplits | None,
    force: bool,
) -> InnerSplits | None:
    """Inner folds, or None for a closed form."""
    if design not in get_args(Design) or selection not in (None, *get_args(Selection)):
        raise ConfigError(
            f"design '{design}' with selection '{selection}'",
            where="ridge",
            fix="use design 'items' or 'story' and selection 'gcv', 'loo' or 'folds'",
        )
    chosen = selection or ("folds" if design == "story" else "gcv")
    if chosen == "folds":
        if inner_splits is None:
            raise ConfigError(
                "selection 'folds' has no inner splits",
                where="ridge",
                fix="give inner_splits, for example from inner_story_splits",
            )
        return inner_splits
    if design == "story" and not force:
        raise ConfigError(
            f"selection '{chosen}' on a story predicts a volume from neighbours, whose noise it "
            "shares, and so chooses too small an alpha",
            where="ridge",
            fix="use selection: folds, or force if the volumes are independent",
        )
    return None


def _tested(splits: Sequence[Split]) -> Index:
    return np.unique(np.concatenate([s.test for s in splits]))
