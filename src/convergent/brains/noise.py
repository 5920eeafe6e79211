"""Noise ceilings of responses: from repeats, from agreement of halves or subjects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import DataError, NumericalError

Floats = NDArray[np.float64]


def finite(values: ArrayLike, axes: int, names: str) -> Floats:
    """Refuse arrays of other axes, and any value that is not finite."""
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


def at_least_two(count: int, what: str) -> None:
    """Refuse a ceiling of a single measurement."""
    if count < 2:
        raise DataError(f"{count} {what}", where="noise ceiling", fix=f"use 2 or more {what}")


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


def repeats_ceiling(trials: ArrayLike, stimulus: ArrayLike, scored: ArrayLike) -> Floats:
    """Ceiling of the averages that are scored, from the variance within and between stimuli.

    With the variance V (n - 1) of the averages of the n scored stimuli, the noise variance v^2 of
    a trial, pooled over the repeats of stimuli, and a, the mean of 1 / k over scored stimuli
    averaged over k trials each, ::

        ceiling = 1 - (n - 3) / (n - 1) a v^2 / V

    With as many repeats of each stimulus this is the intraclass correlation ICC(1, k), and in
    terms of the noise-ceiling signal-to-noise ratio it is ncsnr^2 / (ncsnr^2 + a), with the
    signal's variance that of the scored stimuli. The factor of n takes away the bias of 1 / V for
    few stimuli (exactly, for normal responses). Estimates below 0 are set to 0, so that the mean
    over targets of ceilings near 0 is too large.

    Parameters
    ----------
    trials : array_like, shape (trial, target)
        As they are scored: standardised within sessions first if the scored responses are.
    stimulus : array_like, shape (trial,)
        Stimulus of each trial.
    scored : array_like of bool, shape (trial,)
        Whether scores are computed on the trial's stimulus: on the test side of a fixed split;
        with folds, on all. Stimuli that are scored and were not repeated count with k = 1. The
        noise is that of the scored stimuli, or of all where those have fewer repeats beyond the
        first than there are scored stimuli.

    Returns
    -------
    ndarray of float64, shape (target,)
        0 to 1; NaN for targets that are constant over the scored stimuli.

    Raises
    ------
    DataError
        No stimulus was repeated, fewer than 4 are scored, or lengths differ.
    NumericalError
        NaN or infinity.

    References
    ----------
    Shrout & Fleiss, Psychological Bulletin 86 (1979) 420-428; Allen et al., Nature Neuroscience
    25 (2022) 116-126.
    """
    shown = _Shown.of(trials, stimulus, scored)
    means = shown.averages()
    tested = means[shown.scored]
    n = len(tested)
    constant = tested.max(axis=0) == tested.min(axis=0)
    between = np.where(constant, 1.0, tested.var(axis=0, ddof=1))
    rest = shown.noise(means) * shown.averaging * (n - 3) / (n - 1) / between
    return np.where(constant, np.nan, np.clip(1.0 - rest, 0.0, 1.0))


def halves_ceiling(
    trials: ArrayLike,
    stimulus: ArrayLike,
    scored: ArrayLike,
    *,
    halvings: int = 100,
    seed: int = 0,
) -> Floats:
    """Ceiling of the averages that are scored, from halves of repeats, by Spearman-Brown.

    The k repeats of each stimulus are divided into halves of h = k // 2 at random, over and over.
    With the mean r between the halves' averages, b the mean of 1 / h over the stimuli that were
    halved, and a the mean of 1 / k over the scored stimuli, ::

        ceiling = f r / (1 + (f - 1) r),  f = b / a

    With equal numbers of repeats f is k / h, as in `split_half_ceiling`.

    Parameters
    ----------
    trials, stimulus, scored
        As for `repeats_ceiling`; the stimuli that are halved are those whose noise counts there.
    halvings : int
        Divisions to average over.
    seed : int

    Returns
    -------
    ndarray of float64, shape (target,)
        0 to 1; NaN for targets that are constant over the halves.

    Raises
    ------
    DataError, NumericalError
        As `repeats_ceiling`; or fewer than 3 stimuli were repeated.

    References
    ----------
    Spearman, British Journal of Psychology 3 (1910) 271-295; Brown, ibid. 296-322.
    """
    shown = _Shown.of(trials, stimulus, scored)
    repeats = shown.repeats[shown.repeated]
    if repeats.size < 3:
        raise DataError(
            f"{repeats.size} repeated stimuli", where="noise ceiling", fix="give 'from: repeats'"
        )
    rows = shown.rows(shown.repeated)
    half = repeats // 2
    first = np.concatenate([[0], np.cumsum(repeats)[:-1]])
    owner = np.repeat(np.arange(repeats.size), repeats)
    place = np.arange(owner.size) - first[owner]
    sides = [np.flatnonzero(place < half[owner])]
    sides.append(np.flatnonzero((place >= half[owner]) & (place < 2 * half[owner])))
    starts = np.concatenate([[0], np.cumsum(half)[:-1]])
    rng = np.random.default_rng(seed)
    r = []
    for _ in range(halvings):
        order = rows[np.lexsort((rng.random(owner.size), owner))]
        one, other = (
            np.add.reduceat(shown.trials[order[side]], starts, axis=0) / half[:, None]
            for side in sides
        )
        r.append(correlation(one, other))
    reliability = np.maximum(_mean_defined(np.stack(r)), 0.0)
    factor = float((1.0 / half).mean()) / shown.averaging
    ceiling: Floats = factor * reliability / (1.0 + (factor - 1.0) * reliability)
    return ceiling


def noise_of_repeats(trials: ArrayLike, stimulus: ArrayLike, scored: ArrayLike) -> Floats:
    """Variance of a trial about its stimulus's mean, pooled, (target,): see `repeats_ceiling`."""
    shown = _Shown.of(trials, stimulus, scored)
    return shown.noise(shown.averages())


@dataclass(frozen=True)
class _Shown:
    """Trials in order of their stimuli.

    Attributes
    ----------
    trials : ndarray of float64, shape (trial, target)
        Less their mean: a large one costs digits.
    order : ndarray of int, shape (trial,)
        Trials, a stimulus after the other.
    repeats : ndarray of int, shape (stimulus,)
    scored, repeated : ndarray of bool, shape (stimulus,)
        Stimuli that are scored, and those whose repeats tell of the noise.
    """

    trials: Floats
    order: NDArray[np.intp]
    repeats: NDArray[np.intp]
    scored: NDArray[np.bool_]
    repeated: NDArray[np.bool_]

    @classmethod
    def of(cls, trials: ArrayLike, stimulus: ArrayLike, scored: ArrayLike) -> _Shown:
        data = finite(trials, 2, "(trial, target)")
        labels, tested = np.asarray(stimulus), np.asarray(scored, dtype=bool)
        if labels.shape != data.shape[:1] or tested.shape != labels.shape:
            raise DataError(
                f"{data.shape[0]} trials, {labels.size} stimuli and {tested.size} marks of scoring",
                where="noise ceiling",
                fix="give one stimulus and one mark a trial",
            )
        _, first, member, repeats = np.unique(
            labels, return_index=True, return_inverse=True, return_counts=True
        )
        of_stimulus = tested[first]
        if not np.array_equal(of_stimulus[member], tested):
            raise DataError(
                "a stimulus is scored and not scored", where="noise ceiling", fix="mark it once"
            )
        if of_stimulus.sum() < 4:
            raise DataError(
                f"{int(of_stimulus.sum())} stimuli that are scored",
                where="noise ceiling",
                fix="score 4 or more, or give no ceiling",
            )
        if repeats.max() < 2:
            raise _not_repeated()
        repeated = of_stimulus & (repeats > 1)
        if (repeats[repeated] - 1).sum() < of_stimulus.sum():
            repeated = repeats > 1
        order = np.argsort(member, kind="stable")
        return cls(data - data.mean(axis=0), order, repeats, of_stimulus, repeated)

    @property
    def averaging(self) -> float:
        """Share of a trial's noise that the averages of the scored stimuli keep."""
        return _averaging(self.repeats[self.scored])

    def rows(self, stimuli: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Trials of some stimuli, a stimulus after the other."""
        return self.order[np.repeat(stimuli, self.repeats)]

    def averages(self) -> Floats:
        """Mean over the trials of each stimulus, (stimulus, target)."""
        first = np.concatenate([[0], np.cumsum(self.repeats)[:-1]])
        sums = np.add.reduceat(self.trials[self.order], first, axis=0)
        means: Floats = sums / self.repeats[:, None]
        return means

    def noise(self, means: Floats) -> Floats:
        """Variance within stimuli, pooled over those that tell of the noise, (target,)."""
        count = self.repeats[self.repeated]
        away = self.trials[self.rows(self.repeated)] - np.repeat(
            means[self.repeated], count, axis=0
        )
        pooled: Floats = (away**2).sum(axis=0) / (count - 1).sum()
        return pooled


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
        fix="give 'from: subjects', a file, or none",
    )


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
