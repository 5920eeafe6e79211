"""Ceilings from how well repeats, or subjects, agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.noise._checks import at_least_two, finite

Floats = NDArray[np.float64]


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
    data = finite(repeats, 3, "(repeat, stimulus, target)")
    count = data.shape[0]
    at_least_two(count, "repeats")
    half = count // 2
    rng = np.random.default_rng(seed)
    r = []
    for _ in range(1 if count == 2 else halves):
        order = rng.permutation(count)
        r.append(
            correlation(data[order[:half]].mean(axis=0), data[order[half : 2 * half]].mean(axis=0))
        )
    reliability = np.maximum(_mean_defined(np.stack(r)), 0.0)
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
    values = finite(data, 3, "(subject, sample, target)")
    at_least_two(values.shape[0], "subjects")
    # Centred first, so that large baselines cost no digits in the difference below.
    values = values - values.mean(axis=1, keepdims=True)
    others = (values.sum(axis=0) - values) / (values.shape[0] - 1)
    varies = values.max(axis=1) > values.min(axis=1)
    return np.where(varies, correlation(others, values, axis=1), np.nan)


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


def correlation(first: ArrayLike, second: ArrayLike, axis: int = 0) -> Floats:
    """Pearson r along one axis; NaN where ``second`` is constant, 0 where ``first`` alone is."""
    x = np.moveaxis(np.asarray(first, dtype=np.float64), axis, 0)
    y = np.moveaxis(np.asarray(second, dtype=np.float64), axis, 0)
    flat_x, flat_y = (values.max(axis=0) == values.min(axis=0) for values in (x, y))
    x, y = _unit(x, flat_x), _unit(y, flat_y)
    r = np.clip((x * y).sum(axis=0), -1.0, 1.0)
    return np.where(flat_y, np.nan, np.where(flat_x, 0.0, r))


def _unit(values: Floats, constant: NDArray[np.bool_]) -> Floats:
    """Centred columns of length 1; scaled first, so that squares neither under- nor overflow."""
    centred = values - values.mean(axis=0)
    centred = centred / np.where(constant, 1.0, np.abs(centred).max(axis=0))
    length = np.sqrt((centred**2).sum(axis=0))
    unit: Floats = centred / np.where(constant, 1.0, length)
    return unit


def _mean_defined(values: Floats) -> Floats:
    """Mean over the first axis of what is not NaN."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean: Floats = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean
