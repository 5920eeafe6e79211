"""Responses are those that were planted, however the files are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convergent.brains.noise import ncsnr_ceiling
from convergent.brains.nsd import example
from convergent.brains.nsd import prepare as _prepare
from convergent.brains.nsd import responses as _assemble
from convergent.brains.nsd.files import SESSIONS, betas_folder
from convergent.brains.nsd.reader import NsdReader
from convergent.brains.nsd.regions import Labelling

SIDES = ("lh", "rh")


def number_of(ids):
    return np.array([int(name[3:]) for name in ids])


def planted(made, subject, counts, sides=SIDES, sessions=None):
    """Trials (session, trial, target), z-scored within sessions, and their images."""
    sessions = sessions or range(1, SESSIONS[subject] + 1)
    trials, shown = [], []
    for number in sessions:
        parts = []
        for side, count in zip(sides, counts, strict=True):
            labels = np.resize([*example.AREAS, 0], count)
            values = made.percent_change(subject, side, example.explained_by(labels), number)
            parts.append(values[:, labels > 0])
        values = np.concatenate(parts, axis=1)
        trials.append((values - values.mean(axis=0)) / values.std(axis=0, ddof=1))
        shown.append(made.shown(subject, number))
    return np.stack(trials), np.stack(shown)


@pytest.mark.parametrize("subject", ["subj01", "subj04"])
def test_each_image_has_the_mean_of_its_trials(reader, small, subject):
    brain = reader(test="all_shared").responses(subject)
    trials, shown = planted(small, subject, (40, 35))
    flat = trials.reshape(-1, trials.shape[2])
    np.testing.assert_array_equal(number_of(brain.stimulus_id), np.unique(shown))
    expected = np.stack([flat[shown.ravel() == k].mean(axis=0) for k in np.unique(shown)])
    np.testing.assert_allclose(brain.data, expected, atol=1e-5)
    assert brain.attrs["sessions"] == list(range(1, SESSIONS[subject] + 1))
    names = [name for name, _ in example.AREAS.values()]
    assert set(brain.region) == {f"{side}_{name}" for side in "LR" for name in names}


def test_images_that_were_never_shown_have_no_response_and_are_no_stimuli(reader, small):
    fewer = reader(subjects=("subj04",), test="all_shared")
    shown = np.unique([small.shown("subj04", k) for k in range(1, 31)])
    assert shown.size < 200
    np.testing.assert_array_equal(number_of(fewer.stimuli().ids), shown)
    np.testing.assert_array_equal(number_of(fewer.responses("subj04").stimulus_id), shown)
    both = reader(subjects=("subj01", "subj04"), test="all_shared").stimuli()
    also = np.unique([small.shown("subj01", k) for k in range(1, 41)])
    np.testing.assert_array_equal(number_of(both.ids), np.union1d(shown, also))


def test_the_test_set_is_the_shared_images_seen_three_times_by_all(reader, small):
    seen = small.ordering[: 30 * small.trials]
    shared = small.images[0][:20]
    three = {int(shared[k]) for k in range(20) if (seen == k + 1).sum() == 3}
    assert 2 < len(three) < 20
    stimuli = reader().stimuli()
    assert set(number_of(stimuli.ids[stimuli.split == "test"])) == three
    assert set(number_of(stimuli.ids[stimuli.split == "train"])) == set(small.images[0][20:])
    brain = reader().responses("subj01")
    assert set(brain.stimulus_id) == set(stimuli.ids)
    every = reader(test="all_shared").stimuli()
    assert set(number_of(every.ids[every.split == "test"])) == set(shared)


def test_planted_weights_of_vertices_are_recovered(reader, small):
    brain = reader().responses("subj01")
    latents = small.latents[number_of(brain.stimulus_id) - 1]
    found = np.linalg.lstsq(latents, brain.data, rcond=None)[0].T
    true = []
    for side, count in zip(SIDES, (40, 35), strict=True):
        labels = np.resize([*example.AREAS, 0], count)
        true.append(small.weights("subj01", side, count)[labels > 0])
    match = [np.corrcoef(a, b)[0, 1] for a, b in zip(found, np.concatenate(true), strict=True)]
    driven = np.array([not name.endswith("_4") for name in brain.region])
    assert np.min(np.array(match)[driven]) > 0.9
    assert np.abs(np.mean(np.array(match)[~driven])) < 0.3


def test_noise_ceilings_are_those_that_were_planted(tmp_path):
    made = example.write_experiment(tmp_path, scale=10, images=False)
    example.write_surface(made, "subj01", {"lh": 400, "rh": 400})
    given = {"data": str(tmp_path), "agreement": "accepted", "scratch": str(tmp_path)}
    brain = NsdReader(subjects=("subj01",), space="fsaverage", **given).responses("subj01")
    for name, h in example.AREAS.values():
        mine = [region[2:] == name for region in brain.region]
        expected = h / (h + (1 - h) / 3)
        found = brain.noise_ceiling[mine].mean()
        if h > 0:
            assert found == pytest.approx(expected, rel=0.02)
        else:
            assert found < 0.05
    difference = brain.attrs["ncsnr_against_distributed"]
    assert abs(difference["median_difference"]) < 0.02 and difference["correlation"] > 0.97


def test_noise_ceilings_agree_with_the_formula_on_all_trials_at_once(reader, small):
    brain = reader(test="all_shared").responses("subj01")  # three trials of every image
    trials, shown = planted(small, "subj01", (40, 35))
    session = np.repeat(np.arange(len(trials)), trials.shape[1])
    oracle = ncsnr_ceiling(trials.reshape(-1, trials.shape[2]), shown.ravel(), session)
    np.testing.assert_allclose(brain.noise_ceiling, oracle, atol=1e-5)


def test_noise_ceilings_count_the_repeats_of_the_images_that_are_scored(reader):
    three = reader().responses("subj04").noise_ceiling
    mixed = reader(test="all_shared").responses("subj04").noise_ceiling
    single = reader(repeats="single").responses("subj04").noise_ceiling
    positive = three > 0
    assert (three[positive] > mixed[positive]).all() and (mixed > single)[positive].all()
    # the same ncsnr: NC / (1 - NC) is proportional to the number of trials
    odds = (three / (1 - three))[positive] / (single / (1 - single))[positive]
    np.testing.assert_allclose(odds, 3.0, rtol=1e-6)


def test_the_formats_of_the_volume_agree(reader):
    volume = {"space": "func1pt8mm", "subjects": ("subj04",)}
    one = reader(**volume).responses("subj04")
    other = reader(**volume, betas_format="nii.gz").responses("subj04")
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.region, other.region)


def test_voxels_lie_as_nifti_counts_them(reader, small):
    brain = reader(space="func1pt8mm", test="all_shared").responses("subj04")
    labels = np.resize([*example.AREAS, 0], 120).reshape((6, 5, 4), order="F")
    labels[:, :, [0, -1]] = 0
    flat = labels.ravel(order="F")
    side = np.where(np.arange(120) % 6 < 3, "L", "R")
    expected = [f"{side[k]}_{example.AREAS[flat[k]][0]}" for k in np.flatnonzero(flat)]
    assert brain.region.tolist() == expected
    trials, shown = [], []
    for number in range(1, 31):
        explained = example.explained_by(flat)
        values = small.percent_change("subj04", "volume", explained, number)[:, flat > 0]
        trials.append((values - values.mean(axis=0)) / values.std(axis=0, ddof=1))
        shown.append(small.shown("subj04", number))
    first = int(np.unique(shown)[0])
    mean = np.concatenate(trials)[np.concatenate(shown) == first].mean(axis=0)
    np.testing.assert_allclose(brain.data[0], mean, atol=0.02)  # int16 rounds


def test_native_surfaces_are_read(reader):
    one = reader().responses("subj01")
    native = reader(space="nativesurface").responses("subj01")
    np.testing.assert_allclose(native.data, one.data, atol=0.02)


def test_order_and_values_are_the_same_however_files_are_listed(reader, monkeypatch):
    before = reader().responses("subj01")
    listed = Path.iterdir
    monkeypatch.setattr(
        Path, "iterdir", lambda self: iter(sorted(listed(self), reverse=True, key=str))
    )
    after = reader().responses("subj01")
    assert before.data.tobytes() == after.data.tobytes()
    np.testing.assert_array_equal(before.stimulus_id, after.stimulus_id)
    assert after.attrs["sessions"] == sorted(after.attrs["sessions"])


def test_sessions_read_in_another_order_give_the_same_rows(small, tmp_path):
    parts = Labelling(
        NsdReader(data=str(small.directory), agreement="accepted")._folder,
        "fsaverage", "HCP_MMP1", None, False,
    ).parts("subj01")  # fmt: skip
    folder = small.directory / betas_folder("subj01", "fsaverage", "betas_fithrf_GLMdenoise_RR")
    found = []
    for order in ((1, 2, 3, 4, 5, 6), (5, 2, 6, 1, 4, 3)):
        shown = np.stack([small.shown("subj01", k) for k in order])
        prepared = _prepare.prepare(
            parts, _prepare.Trials(order, shown), folder, "mgh", scratch=tmp_path
        )
        rows = [piece for chunk in (0, 1) for _, piece in prepared.rows.pieces(chunk)]
        found.append((np.concatenate(rows, axis=1), prepared.noise))
    np.testing.assert_allclose(found[0][0], found[1][0], atol=1e-6)
    np.testing.assert_allclose(found[0][1], found[1][1], atol=1e-6)


def test_results_do_not_depend_on_how_many_targets_are_read_at_once(reader, monkeypatch):
    whole = reader().responses("subj01")
    prepare = _prepare.prepare
    monkeypatch.setattr(
        "convergent.brains.nsd.reader.prepare", lambda *a, **k: prepare(*a, **k, chunk=7)
    )
    parts = reader().responses("subj01")
    np.testing.assert_array_equal(whole.data, parts.data)
    np.testing.assert_allclose(whole.noise_ceiling, parts.noise_ceiling, rtol=1e-9)


def test_large_responses_stay_on_disk(reader, monkeypatch):
    held = reader().responses("subj01")
    monkeypatch.setattr(_assemble, "HELD_BYTES", 0)
    stored = reader().responses("subj01").data
    assert not isinstance(stored, np.ndarray) and stored.shape == held.data.shape
    np.testing.assert_array_equal(np.asarray(stored), held.data)
    np.testing.assert_array_equal(stored.read(5, 9), held.data[5:9])
    np.testing.assert_array_equal(np.concatenate(list(stored.pieces())), held.data)


def test_single_trials_have_ids_of_their_own(reader, small):
    brain = reader(repeats="single", test="all_shared").responses("subj01")
    trials, shown = planted(small, "subj01", (40, 35))
    np.testing.assert_array_equal(number_of(brain.stimulus_id), shown.ravel())
    np.testing.assert_allclose(brain.data, trials.reshape(brain.data.shape), atol=1e-5)
    assert brain.sample_id[:2].tolist() == ["s01t001", "s01t002"]
    assert np.unique(brain.sample_id).size == 600
