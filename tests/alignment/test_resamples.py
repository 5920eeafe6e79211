"""Scores over resampled stimuli: those of drawing the samples, without fitting anew."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from convergent.alignment import (
    Problem,
    fit_ridge,
    fit_subjects,
    item_resamples,
    item_splits,
    region_means,
    story_resamples,
)
from convergent.alignment.ridge import folds as _resampled
from convergent.alignment.ridge.folds import weighted_r
from convergent.errors import DataError


def by_drawing(prediction, truth, weights):
    """The oracle: repeat the samples, and correlate."""
    found = np.empty((len(weights), len(truth)))
    for b, counts in enumerate(weights):
        drawn = np.repeat(np.arange(counts.size), counts)
        for t in range(len(truth)):
            p, y = prediction[t, drawn], truth[t, drawn]
            if np.ptp(y) == 0:
                found[b, t] = np.nan
            else:
                found[b, t] = 0.0 if np.ptp(p) == 0 else np.corrcoef(p, y)[0, 1]
    return found


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e6])
def test_moments_give_the_r_of_the_drawn_samples(scale):
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((6, 30)) + 100
    prediction = scale * (0.5 * truth + rng.standard_normal((6, 30)))
    prediction[4] = 3.0
    truth[5] = 7.0
    weights = rng.multinomial(30, np.full(30, 1 / 30), size=8)
    found = weighted_r(
        torch.from_numpy(prediction),
        torch.from_numpy(truth),
        torch.from_numpy(weights.astype(float)),
    ).numpy()
    np.testing.assert_allclose(found, by_drawing(prediction, truth, weights), atol=1e-10)
    assert (found[:, 4] == 0).all() and np.isnan(found[:, 5]).all()


@pytest.mark.parametrize("target_batch", [3, 1024])
def test_resampled_scores_are_those_of_the_held_out_predictions(target_batch, monkeypatch):
    monkeypatch.setattr(_resampled, "RESAMPLED_BUDGET", 5 * 8 * 60 * 2)  # pieces of two targets
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 5))
    y = x @ rng.standard_normal((5, 7)) + 2 * rng.standard_normal((60, 7))
    ids = np.array([f"s{i:02d}" for i in range(60)])
    splits = item_splits(ids, folds=3, seed=0)
    weights = item_resamples(ids, bootstraps=9, seed=0)
    regions = np.array([0, 0, 1, 1, 1, 2, -1])
    common = {"design": "items", "alphas": [1.0, 10.0], "target_batch": target_batch}
    plain = fit_ridge(x, y, splits, return_predictions=True, **common)
    (whole,) = fit_subjects(x, [Problem(y, resamples=weights)], splits, **common)
    (reduced,) = fit_subjects(x, [Problem(y, None, regions, weights)], splits, **common)
    oracle = np.stack(
        [by_drawing(plain.predictions[s.test].T, y[s.test].T, weights[:, s.test]) for s in splits],
        axis=1,
    )
    np.testing.assert_allclose(whole.boot_fold_r, oracle, atol=1e-9)
    np.testing.assert_allclose(reduced.boot_fold_r, region_means(oracle, regions, 3), atol=1e-9)
    np.testing.assert_array_equal(whole.r, plain.r)
    assert plain.boot_fold_r is None and whole.predictions is None


def test_drawing_every_sample_once_gives_the_score_itself():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((40, 4)), rng.standard_normal((40, 3))
    splits = item_splits(np.arange(40).astype(str), folds=4, seed=0)
    once = np.ones((1, 40), dtype=int)
    (found,) = fit_subjects(
        x, [Problem(y, resamples=once)], splits, design="items", alphas=[1.0], dtype="float32"
    )
    np.testing.assert_allclose(found.boot_fold_r[0], found.fold_r, atol=1e-6)


def test_weights_of_other_samples_are_refused():
    x = np.eye(6)
    splits = item_splits(np.arange(6).astype(str), folds=2, seed=0)
    for weights in (np.ones((2, 5)), -np.ones((2, 6))):
        with pytest.raises(DataError, match="6 samples"):
            fit_subjects(x, [Problem(x, resamples=weights)], splits, design="items", alphas=[1.0])


def test_stimuli_draw_the_same_resample_in_any_order():
    ids = np.array(["b", "a", "d", "c"])
    order = np.array([2, 0, 3, 1])
    first = item_resamples(ids, bootstraps=50, seed=3)
    again = item_resamples(ids[order], bootstraps=50, seed=3)
    np.testing.assert_array_equal(first[:, order], again)
    assert (first.sum(axis=1) == 4).all()
    assert (item_resamples(ids, bootstraps=50, seed=4) != first).any()


def test_a_group_is_drawn_together():
    ids, groups = np.arange(12).astype(str), np.repeat(["x", "y", "z"], 4)
    found = item_resamples(ids, groups, bootstraps=20, seed=0).reshape(20, 3, 4)
    assert (found == found[:, :, :1]).all()


def test_a_story_is_drawn_in_blocks_and_its_end_belongs_to_the_last():
    found = story_resamples(23, block=5, bootstraps=200, seed=0)
    assert found.shape == (200, 23)
    for start, stop in ((0, 5), (5, 10), (10, 15), (15, 23)):
        assert (found[:, start:stop] == found[:, start : start + 1]).all()
    assert found.mean() == pytest.approx(1.0, abs=0.15)
    assert (story_resamples(3, block=5, bootstraps=2, seed=0) == 1).all()
