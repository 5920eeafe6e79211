"""Ceilings from sums and from published ratios agree with those from trials, and with the truth."""

from __future__ import annotations

import numpy as np
import pytest

from convergent.brains.noise import (
    ncsnr_ceiling,
    ncsnr_ceiling_of_sums,
    ncsnr_to_ceiling,
    split_half_ceiling,
)
from convergent.errors import DataError, NumericalError

NOISE = np.array([0.25, 1.0, 4.0])


def trials(stimuli=4000, targets=60, seed=3):
    """Each stimulus 1 to 3 times in 8 sessions; returns z-scored betas, ids and sessions."""
    rng = np.random.default_rng(seed)
    stimulus = np.repeat(np.arange(stimuli), 1 + np.arange(stimuli) % 3)
    sd = np.sqrt(np.repeat(NOISE, targets // 3))
    betas = rng.normal(size=(stimuli, targets))[stimulus]
    betas += sd * rng.normal(size=betas.shape)
    session = rng.integers(0, 8, stimulus.size)
    for run in range(8):
        rows = session == run
        betas[rows] = (betas[rows] - betas[rows].mean(axis=0)) / betas[rows].std(axis=0, ddof=1)
    return betas, stimulus, session


def sums(betas, stimulus):
    count = np.bincount(stimulus)
    total = np.zeros((count.size, betas.shape[1]))
    square = np.zeros_like(total)
    np.add.at(total, stimulus, betas)
    np.add.at(square, stimulus, betas**2)
    return total, square, count


def test_ceiling_of_sums_is_the_ceiling_of_the_trials():
    betas, stimulus, session = trials(stimuli=300)
    found = ncsnr_ceiling_of_sums(*sums(betas, stimulus))
    np.testing.assert_allclose(found, ncsnr_ceiling(betas, stimulus, session), rtol=1e-9)


def test_ceiling_is_within_two_percent_of_the_planted_one():
    betas, stimulus, _ = trials()
    total, square, count = sums(betas, stimulus)
    found = ncsnr_ceiling_of_sums(total, square, count).reshape(3, -1).mean(axis=1)
    planted = 1 / (1 + (1 / count).mean() * NOISE)
    np.testing.assert_allclose(found, planted, rtol=0.02)
    np.testing.assert_allclose(ncsnr_to_ceiling(1 / np.sqrt(NOISE), count), planted, rtol=1e-12)


def test_split_half_is_within_two_percent_of_the_planted_one():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(4000, 60))
    data = signal + np.sqrt(np.repeat(NOISE, 20)) * rng.normal(size=(4, 4000, 60))
    found = split_half_ceiling(data, halves=6).reshape(3, -1).mean(axis=1)
    np.testing.assert_allclose(found, 1 / (1 + NOISE / 4), rtol=0.02)


def test_stimuli_that_were_never_shown_do_not_count():
    betas, stimulus, _ = trials(stimuli=200)
    total, square, count = sums(betas, stimulus)
    more = [np.concatenate([values, np.zeros_like(values[:7])]) for values in (total, square)]
    found = ncsnr_ceiling_of_sums(*more, np.concatenate([count, np.zeros(7, int)]))
    np.testing.assert_array_equal(found, ncsnr_ceiling_of_sums(total, square, count))


def test_what_allows_no_ceiling_is_refused():
    ones = np.ones((3, 2))
    with pytest.raises(DataError, match="no stimulus was repeated"):
        ncsnr_ceiling_of_sums(ones, ones, np.ones(3, int))
    with pytest.raises(DataError, match="one number a stimulus"):
        ncsnr_ceiling_of_sums(ones, ones, np.ones(2, int))
    with pytest.raises(NumericalError, match="negative or infinite ncsnr"):
        ncsnr_to_ceiling([-1.0], [3])
    with pytest.raises(DataError, match="no stimulus has a trial"):
        ncsnr_to_ceiling([1.0], [0])
