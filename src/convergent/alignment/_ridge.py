"""Cross-validated ridge encoding models, with alpha chosen per target and permutation nulls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from convergent.alignment._dtype import resolve_dtype
from convergent.alignment._fold import FoldFit
from convergent.alignment._splits import Index, Split, check_splits
from convergent.alignment._subject import Problem, RidgeScores, SubjectFit
from convergent.alignment._validate import check_alphas, finite_features
from convergent.device import resolve_device
from convergent.errors import ConfigError

Floats = NDArray[np.float64]


def fit_ridge(
    features: ArrayLike,
    responses: ArrayLike,
    splits: Sequence[Split],
    *,
    design: Literal["items", "story"],
    alphas: ArrayLike,
    selection: Literal["loo", "folds"] | None = None,
    inner_splits: Callable[[Index], Sequence[Split]] | None = None,
    force_loo: bool = False,
    standardize: bool = True,
    permutations: ArrayLike | None = None,
    region_index: ArrayLike | None = None,
    return_predictions: bool = False,
    target_batch: int = 4096,
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
    features : array_like, shape (sample, feature)
        Finite. Features constant over a training set get weight exactly 0.
    responses : array_like, shape (sample, target)
        Finite.
    splits : sequence of Split
        Outer folds (`item_splits`, `story_splits`).
    design : {"items", "story"}
        Independent samples, or volumes of one time series.
    alphas : array_like, shape (alpha,)
        Positive, increasing penalties on the squared weights.
    selection : {"loo", "folds"}, optional
        Leave-one-out in closed form (default for items) or inner folds (default for a story).
    inner_splits : callable, optional
        From the outer training rows to inner folds, for ``selection="folds"``.
    force_loo : bool
        Allow leave-one-out on a story, where neighbouring volumes leak into each other.
    standardize : bool
        Scale features to unit training variance (they are always centred).
    permutations, region_index
        See `Problem`.
    return_predictions : bool
        Keep held-out predictions; the test sets must be disjoint.
    target_batch : int
        Response columns (targets times permutations) on the device at once; halved when memory
        runs out. Results do not depend on it beyond rounding.
    device : str
        ``cpu`` or ``cuda[:index]``.
    dtype : str
        ``float64`` or ``float32``, for products with responses; features are factorised in
        float64.

    Returns
    -------
    RidgeScores

    Raises
    ------
    NumericalError
        NaN or infinity in features or responses.
    DataError
        Features and responses differ in samples.
    ConfigError
        Bad alphas, folds or orders, or leave-one-out on a story.
    DeviceError
        The device does not exist or cannot hold one target.

    References
    ----------
    Hoerl & Kennard, Technometrics 12 (1970) 55-67; Dupre la Tour et al., NeuroImage 264 (2022)
    119728; Rifkin & Lippert, MIT-CSAIL-TR-2007-025 (leave-one-out in closed form).
    """
    (scores,) = fit_subjects(
        features,
        [Problem(responses, permutations, region_index)],
        splits,
        design=design,
        alphas=alphas,
        selection=selection,
        inner_splits=inner_splits,
        force_loo=force_loo,
        standardize=standardize,
        return_predictions=return_predictions,
        target_batch=target_batch,
        device=device,
        dtype=dtype,
    )
    return scores


def fit_subjects(
    features: ArrayLike,
    problems: Sequence[Problem],
    splits: Sequence[Split],
    *,
    design: Literal["items", "story"],
    alphas: ArrayLike,
    selection: Literal["loo", "folds"] | None = None,
    inner_splits: Callable[[Index], Sequence[Split]] | None = None,
    force_loo: bool = False,
    standardize: bool = True,
    return_predictions: bool = False,
    target_batch: int = 4096,
    device: str = "cpu",
    dtype: str = "float64",
) -> list[RidgeScores]:
    """Do what `fit_ridge` does for several subjects who saw the same stimuli.

    The features of each fold are factorised once for all of them. Each subject's scores are, bit
    for bit, those of a call of its own.

    Parameters
    ----------
    features : array_like, shape (sample, feature)
    problems : sequence of Problem
        One a subject; the same samples in the same order.
    splits, design, alphas, selection, inner_splits, force_loo, standardize, return_predictions,
    target_batch, device, dtype
        See `fit_ridge`.

    Returns
    -------
    list of RidgeScores
        In the order of ``problems``.
    """
    torch_device, torch_dtype = torch.device(resolve_device(device)), resolve_dtype(dtype)
    x, grid = finite_features(features), check_alphas(alphas)
    if target_batch < 1:
        raise ConfigError(f"target_batch is {target_batch}", where="ridge", fix="use 1 or more")
    subjects = [SubjectFit.of(problem, x.shape[0], return_predictions) for problem in problems]
    check_splits(splits, x.shape[0])
    make_inner = _inner(design, selection, inner_splits, force_loo)
    if return_predictions and sum(s.test.size for s in splits) != _tested(splits).size:
        raise ConfigError(
            "test sets overlap", where="ridge", fix="use disjoint folds to return predictions"
        )

    x_device = torch.from_numpy(x).to(torch_device)
    for split in splits:
        inner: Sequence[Split] = ()
        if make_inner is not None:
            inner = make_inner(split.train)
            check_splits(inner, x.shape[0], within=split.train)
        fold = FoldFit.prepare(
            x_device, split, inner, alphas=grid, scale=standardize, dtype=torch_dtype
        )
        for subject in subjects:
            subject.add(fold, target_batch)
    return [subject.scores(grid) for subject in subjects]


def _inner(
    design: str,
    selection: str | None,
    inner_splits: Callable[[Index], Sequence[Split]] | None,
    force_loo: bool,
) -> Callable[[Index], Sequence[Split]] | None:
    """Decide how alpha is chosen: by inner folds, or None for leave-one-out."""
    if design not in ("items", "story") or selection not in (None, "loo", "folds"):
        raise ConfigError(
            f"design '{design}' with selection '{selection}' is not known",
            where="ridge",
            fix="use design items or story, selection loo or folds",
        )
    selection = selection or ("loo" if design == "items" else "folds")
    if selection == "folds":
        if inner_splits is None:
            raise ConfigError(
                "selection 'folds' has no inner splits",
                where="ridge",
                fix="give inner_splits, for example from inner_story_splits",
            )
        return inner_splits
    if design == "story" and not force_loo:
        raise ConfigError(
            "leave-one-out on a story predicts a volume from neighbours, whose noise it shares, "
            "and so chooses too small an alpha",
            where="ridge",
            fix="use selection: folds, or force_loo if the volumes are independent",
        )
    return None


def _tested(splits: Sequence[Split]) -> Index:
    return np.unique(np.concatenate([s.test for s in splits]))
