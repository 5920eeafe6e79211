"""Ceilings from repeats of stimuli, by the noise-ceiling signal-to-noise ratio."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import DataError, NumericalError
from convergent.noise._checks import finite

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
    data = finite(betas, 2, "(trial, target)").copy()
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
        raise _not_repeated()
    order = np.argsort(member, kind="stable")
    first = np.concatenate([[0], np.cumsum(repeats)[:-1]])
    means = np.add.reduceat(data[order], first) / repeats[:, None]
    squares = np.add.reduceat((data - means[member])[order] ** 2, first)
    repeated = repeats > 1
    noise = (squares[repeated] / (repeats[repeated, None] - 1)).mean(axis=0)
    return _of_noise(noise, repeats)


def ncsnr_ceiling_of_sums(totals: ArrayLike, squares: ArrayLike, repeats: ArrayLike) -> Floats:
    """Ceiling of `ncsnr_ceiling` from sums over trials, for data that are read in pieces.

    Parameters
    ----------
    totals, squares : array_like, shape (stimulus, target)
        Sum, and sum of squares, of each stimulus's trials, z-scored per session (with n - 1).
    repeats : array_like of int, shape (stimulus,)
        Trials of each stimulus; those with none count for nothing.

    Returns
    -------
    ndarray of float64, shape (target,)
        0 to 1; NaN for targets whose sums are NaN (constant within a session).

    Raises
    ------
    DataError
        No stimulus was repeated, or shapes differ.

    References
    ----------
    Allen et al., Nature Neuroscience 25 (2022) 116-126.
    """
    sums, squared = np.asarray(totals), np.asarray(squares)
    count = np.asarray(repeats)
    if sums.ndim != 2 or squared.shape != sums.shape or count.shape != sums.shape[:1]:
        raise DataError(
            f"sums {sums.shape}, squares {squared.shape} and {count.size} numbers of repeats",
            where="noise ceiling",
            fix="give (stimulus, target) twice and one number a stimulus",
        )
    twice = np.flatnonzero(count > 1)
    if not twice.size:
        raise _not_repeated()
    n = count[twice, None].astype(np.float64)
    total = sums[twice].astype(np.float64)
    within = np.maximum(squared[twice].astype(np.float64) - total**2 / n, 0.0)
    return _of_noise((within / (n - 1.0)).mean(axis=0), count[count > 0])


def ncsnr_to_ceiling(ncsnr: ArrayLike, repeats: ArrayLike) -> Floats:
    """Ceiling from published noise-ceiling signal-to-noise ratios.

    Parameters
    ----------
    ncsnr : array_like, shape (target,)
        At least 0.
    repeats : array_like of int, shape (stimulus,)
        Trials that each stimulus's response is the average of; those with none count for nothing.

    Returns
    -------
    ndarray of float64, shape (target,)
        ``ncsnr^2 / (ncsnr^2 + a)`` as in `ncsnr_ceiling`; NaN stays NaN.

    Raises
    ------
    DataError
        No stimulus has a trial.
    NumericalError
        A negative or infinite ratio.
    """
    ratio = np.asarray(ncsnr, dtype=np.float64)
    if (ratio < 0).any() or np.isinf(ratio).any():
        raise NumericalError(
            "negative or infinite ncsnr", where="noise ceiling", fix="use the file as published"
        )
    ceiling: Floats = ratio**2 / (ratio**2 + _averaging(np.asarray(repeats)))
    return ceiling


def _of_noise(noise: Floats, repeats: NDArray[np.integer]) -> Floats:
    """Ceiling of responses whose total variance is 1 and whose noise variance is known."""
    signal = np.maximum(0.0, 1.0 - noise)
    # ncsnr^2 / (ncsnr^2 + a) multiplied through by v^2, so that v = 0 needs no division.
    ceiling: Floats = signal / (signal + _averaging(repeats) * noise)
    return ceiling


def _averaging(repeats: NDArray[np.integer]) -> float:
    """How much of the noise is left in averages, (sum_k n_k / k) / sum_k n_k."""
    shown = repeats[repeats > 0]
    if not shown.size:
        raise DataError("no stimulus has a trial", where="noise ceiling", fix="give the repeats")
    return float((1.0 / shown).mean())


def _not_repeated() -> DataError:
    return DataError(
        "no stimulus was repeated",
        where="noise ceiling",
        fix="use leave_one_subject_out_ceiling",
    )
