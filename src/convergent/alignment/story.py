"""From the words of a story to the volumes that were recorded while it was heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convergent.errors import ConfigError, DataError, NumericalError

Floats = NDArray[np.float64]


def words_to_volumes(
    features: ArrayLike,
    word_time: ArrayLike,
    *,
    n_volumes: int,
    tr: float,
    start: float,
    method: Literal["lanczos", "average"] = "lanczos",
    lobes: int = 3,
    before: int = 0,
) -> Floats:
    """Resample word features to one row a volume.

    Volume v covers [start + v tr, start + (v + 1) tr) and has its centre t_v in the middle.

    ``lanczos`` low-passes at the Nyquist frequency 1 / (2 tr) of the volumes: ::

        out[v] = sum_w L((t_v - time_w) / tr) features[w]
        L(x) = sinc(x) sinc(x / lobes) for |x| <= lobes, else 0;  sinc(x) = sin(pi x) / (pi x)

    The sum is not divided by the number of words, so features of fast speech add up; a column of
    ones gives the word rate in words a volume.

    ``average`` is the mean of the words whose time lies within the volume, 0 if there is none.

    Parameters
    ----------
    features : array_like, shape (word, feature)
        Finite.
    word_time : array_like, shape (word,)
        Story time of each word in seconds, by convention its midpoint, in any order.
    n_volumes : int
    tr : float
        Seconds from volume to volume.
    start : float
        Story time in seconds at which volume 0 begins.
    method : {"lanczos", "average"}
    lobes : int
        Width of the Lanczos window.
    before : int
        Volumes before volume 0, as if the scan had begun earlier, that are wanted too: words that
        were heard before the first volume reach it through the delays of `fir`.

    Returns
    -------
    ndarray of float64, shape (before + volume, feature)
        Rows of volumes out of reach of all words (before and after the story) are 0.

    Raises
    ------
    DataError
        Not one time a word.
    NumericalError
        NaN or infinity in features or times.
    ConfigError
        A tr, number of volumes, number of lobes or method that makes no sense.

    References
    ----------
    Lanczos resampling as in Huth et al., Nature 532 (2016) 453-458, and LeBel et al., Scientific
    Data 10 (2023) 555. Duchon, J. Appl. Meteorol. 18 (1979) 1016-1022, for the filter.
    """
    x, time = np.asarray(features, dtype=np.float64), np.asarray(word_time, dtype=np.float64)
    if x.ndim != 2 or time.shape != x.shape[:1]:
        raise DataError(
            f"features {x.shape} and word times {time.shape} do not match",
            where="story design",
            fix="give features (word, feature) and one time a word",
        )
    if not (np.isfinite(x).all() and np.isfinite(time).all()):
        raise NumericalError(
            "NaN or infinity in word features or times",
            where="story design",
            fix="check the layer's features and the transcript's times",
        )
    if not (tr > 0 and n_volumes > 0 and lobes > 0 and before >= 0) or method not in (
        "lanczos",
        "average",
    ):
        raise ConfigError(
            f"tr {tr}, {n_volumes} volumes, {before} before, {lobes} lobes, method '{method}'",
            where="story design",
            fix="use positive numbers, and lanczos or average",
        )
    position, places = (time - start) / tr, np.arange(-before, n_volumes)
    if method == "average":
        volume = np.floor(position).astype(np.int64)
        weights = (volume[None, :] == places[:, None]).astype(np.float64)
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1.0)
    else:
        distance = places[:, None] + 0.5 - position[None, :]
        window = np.sinc(distance) * np.sinc(distance / lobes)
        weights = np.where(np.abs(distance) <= lobes, window, 0.0)
    volumes: Floats = weights @ x
    return volumes


def fir(features: ArrayLike, delays: Sequence[int], *, before: int = 0) -> Floats:
    """Repeat features at several delays, so that ridge fits the haemodynamic response.

    Parameters
    ----------
    features : array_like, shape (before + volume, feature)
    delays : sequence of int
        Different delays in volumes, 0 or more: a response cannot precede its cause.
    before : int
        How many of the rows are of time before the first volume (`words_to_volumes`). With at
        least the longest delay, nothing that was heard before the scan is missing.

    Returns
    -------
    ndarray of float64, shape (volume, delay * feature)
        All features at the first delay, then all at the second, and so on. Row v of delay d holds
        the features of volume v - d, and 0 before the first row of the features.

    Raises
    ------
    DataError
        Features do not have two axes, or no more rows than ``before``.
    ConfigError
        Negative, repeated or no delays, or a negative number of rows before.

    References
    ----------
    Dale, Human Brain Mapping 8 (1999) 109-114.
    """
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or len(x) <= before:
        raise DataError(
            f"features of shape {x.shape}, {before} rows of them before the scan",
            where="story design",
            fix="give (volume, feature)",
        )
    steps = [int(d) for d in delays]
    if not steps or min(steps) < 0 or len(set(steps)) != len(steps):
        raise ConfigError(
            f"delays {steps}", where="story design", fix="use different delays of 0 or more volumes"
        )
    if before < 0:
        raise ConfigError(f"{before} rows before", where="story design", fix="use 0 or more")
    n, p = x.shape
    delayed = np.zeros((n, len(steps), p))
    for k, step in enumerate(steps):
        delayed[step:, k] = x[: max(0, n - step)]
    return delayed[before:].reshape(n - before, -1)


def story_design(
    features: ArrayLike,
    word_time: ArrayLike,
    *,
    n_volumes: int,
    tr: float,
    start: float,
    delays: Sequence[int],
    method: Literal["lanczos", "average"] = "lanczos",
) -> Floats:
    """Delayed word features of each volume: `words_to_volumes`, then `fir`.

    Words that were heard before the first volume, of a scan that was cut or began late, drive it
    as they drive any other.

    Parameters
    ----------
    features, word_time, n_volumes, tr, start, method
        As for `words_to_volumes`.
    delays : sequence of int
        As for `fir`.

    Returns
    -------
    ndarray of float64, shape (volume, delay * feature)
        The rows that the design of a scan from long before would have at these volumes.

    Raises
    ------
    DataError, NumericalError, ConfigError
        As for the two.
    """
    before = max((int(d) for d in delays if int(d) > 0), default=0)
    volumes = words_to_volumes(
        features,
        word_time,
        n_volumes=n_volumes,
        tr=tr,
        start=start,
        method=method,
        before=before,
    )
    return fir(volumes, delays, before=before)
