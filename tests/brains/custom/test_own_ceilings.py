"""Ceilings are those of the averages that are scored: with their repeats, split and sessions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from convergent.brains.custom import OwnData
from convergent.brains.noise import halves_ceiling, repeats_ceiling
from convergent.errors import DataError

TARGETS = 120


def write(
    folder: Path,
    train: list[int],
    test: list[int],
    *,
    level: float,
    source: str,
    sessions: int = 1,
    subjects: int = 1,
    seed: int = 0,
    **more: object,
) -> tuple[Path, np.ndarray, np.ndarray]:
    """Write a data set whose scored averages have one ceiling; file, its signal, what is scored.

    Stimuli of `test` are scored, or all where there are none. Signals are uniform, noise is
    Laplacian; sessions have gains of 1 to 3 and large offsets.
    """
    rng = np.random.default_rng(seed)
    repeats = np.array(train + test)
    scored = np.arange(repeats.size) >= (len(train) if test else 0)
    signal = rng.uniform(-1, 1, (repeats.size, TARGETS))
    signal = (signal - signal[scored].mean(axis=0)) / signal[scored].std(axis=0, ddof=1)
    scale = np.sqrt((1 / level - 1) / (1 / repeats[scored]).mean() / 2)
    side = np.where(scored, "test", "train")
    (folder / "stimuli.tsv").write_text(
        "id\ttext\tsplit\n" + "".join(f"i{k:04d}\tword\t{s}\n" for k, s in enumerate(side))
    )
    for subject in range(subjects):
        order = rng.permutation(np.repeat(np.arange(repeats.size), repeats))
        trials = signal[order] + rng.laplace(0, scale, (order.size, TARGETS))
        session = rng.integers(0, sessions, order.size)
        gain, offset = rng.uniform(1, 3, sessions), rng.uniform(50, 90, sessions)
        trials = trials * gain[session][:, None] + offset[session][:, None]
        np.save(folder / f"s{subject}.npy", trials.astype(np.float32))
        (folder / f"s{subject}.tsv").write_text(
            "stimulus_id\tsession\n"
            + "".join(f"i{k:04d}\t{run}\n" for k, run in zip(order, session, strict=True))
        )
    config = {
        "modality": "language",
        "design": "items",
        "stimuli": {"table": "stimuli.tsv"} | ({"split": "split"} if test else {}),
        "responses": {
            "files": "{subject}.npy",
            "ids": "{subject}.tsv",
            "session": "session",
            "standardise": "session" if sessions > 1 else "none",
        },
        "regions": {"whole": "all"},
        "ceilings": {"from": source, **more},
    }
    path = folder / f"{source}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path, signal[scored], scored


def oracle(path: Path, signal: np.ndarray, scored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ceilings of subject s0, and the r of the signal with the responses that are scored."""
    brain = OwnData(file=str(path)).responses("s0")
    data = np.asarray(brain.data, dtype=np.float64)[scored]
    r = [np.corrcoef(signal[:, t], data[:, t])[0, 1] for t in range(TARGETS)]
    return brain.noise_ceiling, np.array(r)


@pytest.mark.parametrize("source", ["repeats", "split-half"])
@pytest.mark.parametrize(
    ("train", "test", "level", "sessions"),
    [
        ([1] * 200, [4] * 100, 0.6, 1),
        ([1] * 200, [12] * 25, 0.8, 1),
        ([4] * 100, [1] * 150, 0.4, 1),
        ([2] * 100, [1, 3] * 80, 0.5, 1),
        ([1] * 450 + [10] * 50, [], 0.3, 1),
        ([1, 2, 3, 4, 5] * 50, [], 0.5, 4),
    ],
)
def test_ceiling_is_that_of_the_scored_averages(tmp_path, source, train, test, level, sessions):
    made = write(tmp_path, train, test, level=level, source=source, sessions=sessions)
    ceiling, r = oracle(*made)
    np.testing.assert_allclose(ceiling.mean(), level, rtol=0.05)
    np.testing.assert_allclose(r.mean() / np.sqrt(ceiling.mean()), 1, atol=0.03)


def test_what_is_not_scored_changes_a_ceiling_only_by_what_it_tells_of_the_noise():
    rng = np.random.default_rng(0)
    stimulus = np.concatenate([np.repeat(np.arange(40), 3), np.arange(40, 400)])
    trials = rng.normal(size=(440, 8))[stimulus] + rng.normal(size=(stimulus.size, 8))
    scored = stimulus < 40
    for ceiling in (repeats_ceiling, halves_ceiling):
        alone = ceiling(trials[scored], stimulus[scored], scored[scored])
        np.testing.assert_allclose(ceiling(trials, stimulus, scored), alone, rtol=1e-9)
        moved = ceiling(trials * 1e-20 + 1e-16, stimulus, scored)
        np.testing.assert_allclose(moved, alone, rtol=1e-6)


def test_equal_repeats_are_the_intraclass_correlation_and_spearman_brown():
    rng = np.random.default_rng(1)
    n, k = 60, 4
    data = rng.normal(size=(n, 1, 5)) + 1.5 * rng.normal(size=(n, k, 5))
    stimulus, scored = np.repeat(np.arange(n), k), np.ones(n * k, dtype=bool)
    between = k * ((data.mean(axis=1) - data.mean(axis=(0, 1))) ** 2).sum(axis=0) / (n - 1)
    within = ((data - data.mean(axis=1, keepdims=True)) ** 2).sum(axis=(0, 1)) / (n * (k - 1))
    flat = data.reshape(n * k, 5)
    expected = 1 - (n - 3) / (n - 1) * within / between
    np.testing.assert_allclose(repeats_ceiling(flat, stimulus, scored), expected, rtol=1e-9)
    np.testing.assert_allclose(halves_ceiling(flat, stimulus, scored), expected, atol=0.05)


def test_subjects_are_compared_on_the_scored_stimuli_after_standardising(tmp_path):
    """With noise variance s^2 of the averages, r^2 is 1 / (1 + s^2) / (1 + s^2 / 3)."""
    level, noise = 0.5, 1.0
    expected = 1 / (1 + noise) / (1 + noise / 3)
    path, *_ = write(
        tmp_path, [1] * 100, [4] * 300, level=level, source="subjects", sessions=4, subjects=4
    )
    found = OwnData(file=str(path)).responses("s0").noise_ceiling
    np.testing.assert_allclose(found.mean(), expected, rtol=0.05)


def test_a_target_that_one_subject_lacks_is_judged_by_the_others(tmp_path):
    path, *_ = write(tmp_path, [2] * 60, [], level=0.5, source="subjects", subjects=3)
    values = np.load(tmp_path / "s1.npy")
    whole = OwnData(file=str(path)).responses("s0").noise_ceiling
    values[:, 0] = 7.0
    np.save(tmp_path / "s1.npy", values)
    reader = OwnData(file=str(path))
    assert np.isnan(reader.responses("s1").noise_ceiling[0])
    left = reader.responses("s0").noise_ceiling
    assert 0 < left[0] != whole[0]
    np.testing.assert_array_equal(left[1:], whole[1:])


def test_common_stimuli_with_more_repeats_do_not_raise_the_ceiling_of_the_rest(tmp_path):
    """Subjects share 200 stimuli shown 6 times; each has 200 of its own, shown once."""
    level = 0.5
    path, *_ = write(
        tmp_path, [1] * 800, [6] * 200, level=level, source="subjects", subjects=4, seed=2
    )
    config = yaml.safe_load(path.read_text())
    del config["stimuli"]["split"]
    path.write_text(yaml.safe_dump(config))
    for subject in range(4):
        rows = (tmp_path / f"s{subject}.tsv").read_text().splitlines()
        number = np.array([int(row[1:5]) for row in rows[1:]])
        own = (number >= 800) | (number // 200 == subject)
        data = np.load(tmp_path / f"s{subject}.npy")
        np.save(tmp_path / f"s{subject}.npy", data[own])
        kept = [row for row, mine in zip(rows[1:], own, strict=True) if mine]
        (tmp_path / f"s{subject}.tsv").write_text("\n".join([rows[0], *kept]) + "\n")
    noise = (1 / level - 1) * 6
    expected = 1 / (1 + noise / 6 / 3) / (1 + noise * (1 + 1 / 6) / 2)
    found = OwnData(file=str(path)).responses("s0").noise_ceiling
    np.testing.assert_allclose(found.mean(), expected, rtol=0.08)


def test_published_ncsnr_is_brought_to_the_scored_repeats(tmp_path):
    path, *_ = write(
        tmp_path, [1] * 20, [4] * 10, level=0.5, source="file", file="nc.npy", units="ncsnr"
    )
    np.save(tmp_path / "nc.npy", np.full(TARGETS, 0.5))
    found = OwnData(file=str(path)).responses("s0").noise_ceiling
    np.testing.assert_allclose(found, 0.25 / (0.25 + 1 / 4))


def test_one_subject_and_a_test_side_without_responses_say_so(tmp_path):
    path, *_ = write(tmp_path, [2] * 20, [2] * 9, level=0.5, source="subjects")
    with pytest.raises(DataError, match="1 subject, whom nobody can predict"):
        OwnData(file=str(path)).responses("s0")
    table = tmp_path / "s0.tsv"
    seen = np.array([int(row[1:5]) for row in table.read_text().splitlines()[1:]]) < 20
    np.save(tmp_path / "s0.npy", np.load(tmp_path / "s0.npy")[seen])
    rows = table.read_text().splitlines()
    table.write_text("\n".join([rows[0], *np.array(rows[1:])[seen]]) + "\n")
    with pytest.raises(DataError, match="without responses to stimuli of the test side"):
        OwnData(file=str(path)).responses("s0")
    path.write_text(path.read_text().replace("from: subjects", "from: none"))
    brain = OwnData(file=str(path)).responses("s0")
    assert np.isnan(brain.noise_ceiling).all() and brain.attrs["repeats_scored"] is None


def test_designs_without_an_estimate_say_so():
    trials, stimulus = np.random.default_rng(0).normal(size=(12, 2)), np.repeat(np.arange(6), 2)
    every = np.ones(12, dtype=bool)
    with pytest.raises(DataError, match="no stimulus was repeated"):
        repeats_ceiling(trials, np.arange(12), every)
    with pytest.raises(DataError, match="2 stimuli that are scored"):
        repeats_ceiling(trials, stimulus, stimulus < 2)
    with pytest.raises(DataError, match="scored and not scored"):
        repeats_ceiling(trials, stimulus, np.arange(12) % 2 == 0)
    with pytest.raises(DataError, match="1 repeated stimuli"):
        halves_ceiling(trials, [0, 0, *range(1, 11)], every)
