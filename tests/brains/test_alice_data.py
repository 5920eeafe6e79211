"""The published data: figures that the literature and earlier analyses report."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from convergent.brains.alice import AliceReader
from convergent.brains.noise import intersubject_correlation


@pytest.fixture
def alice(shared_data: Path) -> AliceReader:
    return AliceReader(data=str(shared_data / "alice_fmri"))


def test_every_file_is_the_published_one(alice: AliceReader) -> None:
    words = alice.stimuli()
    assert len(words) == 2127
    assert words.texts is not None
    assert words.texts[:6] == ("Alice", "was", "beginning", "to", "get", "very")
    for subject in alice.subjects():
        assert alice.responses(subject).data.shape == (362, 6)
        assert np.isfinite(alice.nuisance(subject).values).all()


def test_listeners_agree_as_reported(alice: AliceReader) -> None:
    agreement = intersubject_correlation(alice._standardised).mean(axis=0)
    np.testing.assert_allclose(agreement, [0.29, 0.23, 0.41, 0.27, 0.26, 0.21], atol=0.006)


def test_the_small_spheres_agree_more_than_the_large_ones(alice: AliceReader) -> None:
    large = AliceReader(data=alice.data, roi_radius="10mm")
    small_r2 = np.mean([alice.responses(s).noise_ceiling for s in alice.subjects()])
    assert small_r2 > np.mean([large.responses(s).noise_ceiling for s in large.subjects()])


def test_the_ceiling_of_the_group_is_above_every_listeners(alice: AliceReader) -> None:
    group = alice.responses("group").noise_ceiling
    np.testing.assert_allclose(group, [0.76, 0.70, 0.87, 0.75, 0.73, 0.66], atol=0.01)
    assert (group > np.max([alice.responses(s).noise_ceiling for s in alice.subjects()], 0)).all()


def test_word_times_agree_with_the_published_word_rate(alice: AliceReader) -> None:
    words = alice.stimuli()
    assert words.offset is not None
    published = alice._nuisance("s18")[:, 0]
    from scipy.stats import gamma

    def agreement(shift: float) -> float:
        since = 20.0 + shift + 2.0 * np.arange(362)[:, None] - words.offset[None]
        response = np.where(since > 0, gamma.pdf(since, 6) - gamma.pdf(since, 16) / 6, 0.0)
        return float(np.corrcoef(response.sum(axis=1), published)[0, 1])

    assert agreement(0.0) > 0.98
    assert agreement(0.0) > max(agreement(-1.0), agreement(1.0))


def test_word_rate_predicts_the_group_above_circular_shifts(alice: AliceReader) -> None:
    """Delays of 1 to 4 volumes; the null keeps the autocorrelation of both series."""
    words, group = alice.stimuli(), alice.responses("group").data.astype(float)
    assert words.onset is not None
    rate = np.bincount(((words.onset - 20) // 2).astype(int), minlength=362).astype(float)

    def score(rate: np.ndarray) -> float:
        design = np.stack([np.r_[np.zeros(k), rate[:-k]] for k in (1, 2, 3, 4)], axis=1)
        scores = []
        edges = np.linspace(0, 362, 6).astype(int)
        for begin, end in pairwise(edges):
            train = np.r_[0 : max(begin - 5, 0), min(end + 5, 362) : 362]
            mean = design[train].mean(axis=0)
            weights = np.linalg.lstsq(design[train] - mean, group[train], rcond=None)[0]
            predicted = (design[begin:end] - mean) @ weights
            scores += [np.corrcoef(predicted[:, t], group[begin:end, t])[0, 1] for t in range(6)]
        return float(np.mean(scores))

    real = score(rate)
    assert 0.38 < real < 0.49
    null = [score(np.roll(rate, shift)) for shift in range(30, 330, 10)]
    assert real > max(null)
