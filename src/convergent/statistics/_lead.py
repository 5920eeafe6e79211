"""Which of two training curves comes first, against curves that move together.

The lag of a share q is the difference of onset times, log10 t_q(performance) minus
log10 t_q(alignment): positive where alignment comes first. Two curves of different noise or
different checkpoints have onsets that differ by themselves, so that the lag is compared with those
of pairs that are simulated from one common course with each measure's own noise and checkpoints.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._lead_null import measured_lags, over_runs, simulated_lags
from ._lead_pair import Pair
from ._onset import SHARES, Onset

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Lead:
    """One lag, its interval, and what pairs without a lead give.

    Attributes
    ----------
    share : float
    lag : float
        Mean over pairs, in decades of steps; positive where alignment comes first. NaN where
        undefined.
    low, high : float
        95 % bootstrap interval.
    null_mean, null_low, null_high : float
        Lags of 95 % of the simulations without a lead.
    p : float
        Two-sided.
    lags : ndarray, shape (pair,)
    onsets : tuple of (Onset, Onset)
        Of alignment and performance, a pair each.
    """

    share: float
    lag: float
    low: float
    high: float
    null_mean: float
    null_low: float
    null_high: float
    p: float
    lags: Array
    onsets: tuple[tuple[Onset, Onset], ...]

    @property
    def resolved(self) -> float:
        """Share of pairs whose onsets do not fall between the same checkpoints."""
        apart = [a.after <= p.before or p.after <= a.before for a, p in self.onsets if not a.reason]
        return float(np.mean(apart)) if apart else math.nan


def leads(
    pairs: Sequence[Pair],
    *,
    shares: Sequence[float] = SHARES,
    draws: int = 1000,
    seed: int = 0,
) -> list[Lead]:
    """Lag of performance behind alignment, over training runs, at each share of the range.

    The null simulates each pair from its common course (`Pair.common`). The statistic is the lag
    over its scale sqrt(sum of (noise / range)^2 of all curves), estimated anew in each
    simulation as a t statistic's is; p is two-sided, twice the smaller tail, for unequal noise
    moves the middle of the null too.

    The interval draws anew what was sampled: stimuli and subjects (the deviations of the curves,
    one draw for all pairs), the scatter of checkpoints, seeds within runs, and runs where there
    are several. What a draw does to a lag is taken from the simulations, as a bootstrap-t: drawn
    from the fits of the curves themselves, which are stairs, crossings would stick to the steps.

    Parameters
    ----------
    pairs : sequence of Pair
        Those without a clear rise are left out.
    shares : sequence of float
    draws : int
        Simulations, which also serve the interval.
    seed : int

    Returns
    -------
    list of Lead
        One a share.

    References
    ----------
    Davison & Hinkley, Bootstrap Methods and their Application (1997), sections 2.4 and 4.4; Sen,
    Banerjee & Woodroofe, Ann. Stat. 38 (2010) 1953-1977 (the bootstrap of monotone fits fails).
    """
    clear = [pair for pair in pairs if not pair.unclear]
    onsets = [
        tuple((pair.alignment.onset(q), pair.performance.onset(q)) for pair in clear)
        for q in shares
    ]
    if not clear:
        return [_undefined(q) for q in shares]
    rng = np.random.default_rng(seed)
    lag, size = measured_lags(
        [(pair.alignment.value, pair.performance.value) for pair in clear], clear, shares
    )
    null, null_size = simulated_lags([pair.common for pair in clear], clear, shares, draws, rng)
    names = [pair.run or pair.name for pair in clear]
    found = []
    for k, q in enumerate(shares):
        mean, around = float(lag[:, k].mean()), null[:, :, k].mean(axis=1)
        scale = np.sqrt(np.square(null_size).sum(axis=1)) / len(clear)
        t = mean / (math.sqrt(float(np.square(size).sum())) / len(clear))
        likely = lag[:, k] - size * null[:, :, k] / null_size
        low, high = np.quantile(over_runs(names, likely, rng), (0.025, 0.975))
        null_low, null_high = np.quantile(around, (0.025, 0.975))
        found.append(
            Lead(
                share=q,
                lag=mean,
                low=float(low),
                high=float(high),
                null_mean=float(around.mean()),
                null_low=float(null_low),
                null_high=float(null_high),
                p=_two_sided(t, around / scale),
                lags=lag[:, k],
                onsets=onsets[k],
            )
        )
    return found


def _two_sided(found: float, null: Array) -> float:
    below, above = int((null <= found).sum()), int((null >= found).sum())
    return min(1.0, 2 * (1 + min(below, above)) / (1 + null.size))


def _undefined(share: float) -> Lead:
    nan = math.nan
    return Lead(share, nan, nan, nan, nan, nan, nan, nan, np.empty(0), ())
