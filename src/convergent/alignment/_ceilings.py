"""How much of the responses any model could explain, in r^2 units.

A ceiling is estimated from the brain data alone; targets are masked by it, never by a model's
score. Predictions are compared with it as r / sqrt(ceiling).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.alignment._means import mean_defined
from convergent.alignment._scores import pearson
from convergent.errors import DataError, NumericalError

Floats = NDArray[np.float64]


def ncsnr_ceiling(
    betas: ArrayLike, stimulus: ArrayLike, session: ArrayLike | None = None
) -> Floats:
    """Ceiling from repeats of stimuli, by the noise-ceiling signal-to-noise ratio.

    Betas are z-scored per session, so that signal and noise variance sum to 1. With the noise
    variance v^2, the mean over repeated stimuli of the variance (n - 1) over repeats, ::

        ncsnr = sqrt(max(0, 1 - v^2)) / v
        ceiling = ncsnr^2 / (ncsnr^2 + a),  a = (sum_k n_k / k) / sum_k n_k

    where n_k stimuli were averaged over k trials.

    Parameters
    ----------
    betas : array_like, shape (trial, target)
        Single trials.
    stimulus : array_like, shape (trial,)
        Stimulus of each trial.
    session : array_like, shape (trial,), optional
        Session of each trial; one session if not given.

    Returns
    -------
    ndarray of float64, shape (target,)
        0 to 1, for responses averaged over the repeats of each stimulus. NaN for targets that
        are constant within a session.

    Raises
    ------
    DataError
        No stimulus was repeated, or lengths differ.
    NumericalError
        NaN or infinity in the betas.

    References
    ----------
    Allen et al., Nature Neuroscience 25 (2022) 116-126.
    """
    data = _finite(betas, 2, "(trial, target)").copy()
    labels = np.asarray(stimulus)
    runs = np.zeros(labels.shape) if session is None else np.asarray(session)
    if labels.shape != data.shape[:1] or runs.shape != labels.shape:
        raise DataError(
            f"{data.shape[0]} trials, {labels.size} stimuli and {runs.size} sessions",
            where="noise ceiling",
            fix="give one stimulus and one session a trial",
        )
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        block = data[rows]
        constant = block.max(axis=0) == block.min(axis=0)
        sd = np.where(constant, np.nan, block.std(axis=0, ddof=1 if rows.size > 1 else 0))
        data[rows] = (block - block.mean(axis=0)) / sd
    _, member, repeats = np.unique(labels, return_inverse=True, return_counts=True)
    if repeats.max() < 2:
        raise DataError(
            "no stimulus was repeated",
            where="noise ceiling",
            fix="use leave_one_subject_out_ceiling",
        )
    order = np.argsort(member, kind="stable")
    first = np.concatenate([[0], np.cumsum(repeats)[:-1]])
    means = np.add.reduceat(data[order], first) / repeats[:, None]
    squares = np.add.reduceat((data - means[member])[order] ** 2, first)
    repeated = repeats > 1
    noise = (squares[repeated] / (repeats[repeated, None] - 1)).mean(axis=0)
    signal = np.maximum(0.0, 1.0 - noise)
    share = (1.0 / repeats).mean()
    # ncsnr^2 / (ncsnr^2 + a) multiplied through by v^2, so that v = 0 needs no division.
    ceiling: Floats = signal / (signal + share * noise)
    return ceiling


def split_half_ceiling(repeats: ArrayLike, *, halves: int = 100, seed: int = 0) -> Floats:
    """Ceiling from the reliability of random halves, stepped up by Spearman-Brown.

    The mean r between the averages of h and h of K repeats (h = K // 2) is stepped up to the
    reliability of the average over all K, ::

        ceiling = f r / (1 + (f - 1) r),  f = K / h

    The reliability of a measurement is its squared correlation with the true response, so this is
    in r^2 units already.

    Parameters
    ----------
    repeats : array_like, shape (repeat, stimulus, target)
    halves : int
        Random splits to average over.
    seed : int

    Returns
    -------
    ndarray of float64, shape (target,)
        0 to 1, for responses averaged over all repeats; NaN for constant targets.

    Raises
    ------
    DataError
        Fewer than 2 repeats, or not three axes.
    NumericalError
        NaN or infinity.

    References
    ----------
    Spearman, British Journal of Psychology 3 (1910) 271-295; Brown, ibid. 296-322.
    """
    data = _finite(repeats, 3, "(repeat, stimulus, target)")
    count = data.shape[0]
    _at_least_two(count, "repeats")
    half = count // 2
    rng = np.random.default_rng(seed)
    r = []
    for _ in range(1 if count == 2 else halves):
        order = rng.permutation(count)
        r.append(
            pearson(data[order[:half]].mean(axis=0), data[order[half : 2 * half]].mean(axis=0))
        )
    reliability = np.maximum(mean_defined(np.stack(r)), 0.0)
    factor = count / half
    ceiling: Floats = factor * reliability / (1.0 + (factor - 1.0) * reliability)
    return ceiling


def intersubject_correlation(data: ArrayLike) -> Floats:
    """Correlate each subject with the mean of the others.

    Parameters
    ----------
    data : array_like, shape (subject, sample, target)
        Same samples in all subjects.

    Returns
    -------
    ndarray of float64, shape (subject, target)
        Pearson r; NaN where the subject's target is constant.

    Raises
    ------
    DataError
        Fewer than 2 subjects, or not three axes.
    NumericalError
        NaN or infinity: leave such subjects out.

    References
    ----------
    Hasson et al., Science 303 (2004) 1634-1640; Nastase et al., SCAN 14 (2019) 667-685.
    """
    values = _finite(data, 3, "(subject, sample, target)")
    _at_least_two(values.shape[0], "subjects")
    # Centred first, so that large baselines cost no digits in the difference below.
    values = values - values.mean(axis=1, keepdims=True)
    others = (values.sum(axis=0) - values) / (values.shape[0] - 1)
    varies = values.max(axis=1) > values.min(axis=1)
    return np.where(varies, pearson(others, values, axis=1), np.nan)


def leave_one_subject_out_ceiling(data: ArrayLike) -> Floats:
    """Ceiling of a story's responses, where nothing was repeated within subjects.

    The square of `intersubject_correlation`, with negative r set to 0: the variance of a subject
    that the mean of the others predicts. It is a lower estimate, for two reasons. The mean of
    n - 1 others is noisy itself (for subjects with a common response and noise variance s^2 times
    it, the ceiling 1 / (1 + s^2) comes out smaller by the factor 1 / (1 + s^2 / (n - 1))); and
    what is driven by the story in this subject alone is missed. A model may therefore exceed it.

    Parameters
    ----------
    data : array_like, shape (subject, sample, target)

    Returns
    -------
    ndarray of float64, shape (subject, target)
        0 to 1; NaN where the subject's target is constant.

    Raises
    ------
    DataError, NumericalError
        As `intersubject_correlation`.
    """
    ceiling: Floats = np.maximum(intersubject_correlation(data), 0.0) ** 2
    return ceiling


def _finite(values: ArrayLike, axes: int, names: str) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != axes or array.size == 0:
        raise DataError(f"array of shape {array.shape}", where="noise ceiling", fix=f"give {names}")
    if not np.isfinite(array).all():
        raise NumericalError(
            f"NaN or infinity in {int((~np.isfinite(array)).sum())} of {array.size} values",
            where="noise ceiling",
            fix="leave out the subjects or targets concerned",
        )
    return array


def _at_least_two(count: int, what: str) -> None:
    if count < 2:
        raise DataError(f"{count} {what}", where="noise ceiling", fix=f"use 2 or more {what}")
