"""Word features reach the right volumes, and planted delays are found."""

import numpy as np
import pytest

from convergent.alignment import (
    alpha_grid,
    fir,
    fit_ridge,
    inner_story_splits,
    story_design,
    story_splits,
    words_to_volumes,
)
from convergent.errors import ConfigError, DataError, NumericalError


def test_lanczos_equals_the_written_out_sum():
    rng = np.random.default_rng(0)
    x, time = rng.normal(size=(15, 2)), rng.uniform(-5, 30, 15)
    found = words_to_volumes(x, time, n_volumes=10, tr=2.0, start=4.0)
    expected = np.zeros((10, 2))
    for v in range(10):
        for w in range(15):
            d = (4.0 + (v + 0.5) * 2.0 - time[w]) / 2.0
            if abs(d) <= 3:
                expected[v] += (
                    3 * np.sin(np.pi * d) * np.sin(np.pi * d / 3) / (np.pi * d) ** 2 * x[w]
                )
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_lanczos_of_steady_speech_is_its_rate_and_removes_what_is_above_nyquist():
    time = np.arange(0, 100, 0.25) + 0.125
    fast = np.cos(2 * np.pi * 0.75 * time)
    slow = np.cos(2 * np.pi * 0.02 * time)
    x = np.column_stack([np.ones_like(time), fast, slow])
    found = words_to_volumes(x, time, n_volumes=50, tr=2.0, start=0.0)[5:-5]
    centre = 2.0 * np.arange(5, 45) + 1.0
    np.testing.assert_allclose(found[:, 0], 8, rtol=0.02)
    assert np.abs(found[:, 1]).max() < 0.1 * 8
    np.testing.assert_allclose(found[:, 2], 8 * np.cos(2 * np.pi * 0.02 * centre), atol=0.4)


def test_average_takes_the_words_within_each_volume():
    time = [9.9, 10.0, 11.9, 12.0, 15.0, 18.0]
    x = np.arange(1.0, 7.0)[:, None]
    found = words_to_volumes(x, time, n_volumes=4, tr=2.0, start=10.0, method="average")
    np.testing.assert_array_equal(found[:, 0], [2.5, 4, 5, 0])


@pytest.mark.parametrize("method", ["lanczos", "average"])
def test_volumes_far_from_all_words_are_zero_and_word_order_does_not_matter(method):
    rng = np.random.default_rng(0)
    x, time, order = rng.normal(size=(20, 3)), rng.uniform(40, 60, 20), rng.permutation(20)
    shape = {"n_volumes": 50, "tr": 2.0, "start": 0.0, "method": method}
    found = words_to_volumes(x, time, **shape)
    assert (found[:16] == 0).all() and (found[34:] == 0).all() and (found[20:30] != 0).any()
    np.testing.assert_allclose(words_to_volumes(x[order], time[order], **shape), found, atol=1e-14)


def test_fir_shifts_and_pads_with_zeros_delay_by_delay():
    x = np.arange(1.0, 9.0).reshape(4, 2)
    found = fir(x, [0, 2, 9])
    expected = np.zeros((4, 6))
    expected[:, :2] = x
    expected[2:, 2:4] = x[:2]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("method", ["lanczos", "average"])
@pytest.mark.parametrize("delays", [(0,), (1, 2, 3, 4), (7, 2)])
def test_words_heard_before_a_scan_that_was_cut_drive_it_as_in_the_whole_scan(method, delays):
    rng = np.random.default_rng(0)
    time = np.sort(rng.uniform(0, 60, 150))
    x = rng.normal(size=(150, 2))
    shape = {"tr": 2.0, "delays": delays, "method": method}
    whole = story_design(x, time, n_volumes=30, start=0.0, **shape)
    cut = story_design(x, time, n_volumes=20, start=20.0, **shape)
    np.testing.assert_allclose(cut, whole[10:], atol=1e-12)
    early = words_to_volumes(x, time, n_volumes=40, tr=2.0, start=-20.0, method=method)
    np.testing.assert_allclose(whole, fir(early, delays)[10:], atol=1e-12)


def test_delayed_features_find_a_planted_response():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = fir(x, [2, 3]) @ rng.normal(size=(6, 4)) + rng.normal(size=(300, 4))
    splits = story_splits(300, folds=3, trim=5)
    scores = {
        delays: fit_ridge(
            fir(x, delays),
            y,
            splits,
            design="story",
            alphas=alpha_grid(-1, 4, 6),
            inner_splits=lambda train: inner_story_splits(train, folds=3, trim=5),
        ).r.mean()
        for delays in ((1, 2, 3, 4), (0,))
    }
    assert scores[1, 2, 3, 4] > 0.8 and abs(scores[(0,)]) < 0.15


def test_senseless_designs_are_refused():
    x, time = np.ones((3, 2)), np.arange(3.0)
    shape = {"n_volumes": 4, "tr": 2.0, "start": 0.0}
    with pytest.raises(DataError, match="do not match"):
        words_to_volumes(x, time[:2], **shape)
    with pytest.raises(DataError, match="3 rows of them before"):
        fir(np.ones((3, 1)), (1,), before=3)
    with pytest.raises(ConfigError, match="-1 rows before"):
        fir(np.ones((3, 1)), (1,), before=-1)
    with pytest.raises(NumericalError):
        words_to_volumes(x * np.nan, time, **shape)
    for bad in ({"tr": 0.0}, {"n_volumes": 0}, {"method": "nearest"}):
        with pytest.raises(ConfigError):
            words_to_volumes(x, time, **{**shape, **bad})
    for delays in ([], [-1], [1, 1]):
        with pytest.raises(ConfigError, match="delays"):
            fir(x, delays)
    with pytest.raises(DataError):
        fir(time, [1])
