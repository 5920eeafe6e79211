from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convergent.brains import open_dataset
from convergent.brains.alice import AliceReader
from convergent.brains.alice import files as signal
from convergent.brains.alice.files import motion_file
from convergent.errors import ConfigError, DataError, UnknownKeyError
from convergent.study import DatasetConfig

SUBJECTS = 27


def reader(folder: Path, **options: Any) -> AliceReader:
    return AliceReader(data=str(folder), **{"verify": False, **options})


# The signal functions, against planted truth and an oracle.


def test_the_filter_removes_slow_and_keeps_fast_waves() -> None:
    time = 2.0 * np.arange(362)
    drifts = signal.cosine_drifts(362, 2.0, 128.0)
    assert drifts.shape == (362, 12)
    slow, fast = np.cos(2 * np.pi * time / 400), np.cos(2 * np.pi * time / 40)
    left = signal.remove(drifts, np.stack([50 + slow, 50 + fast], axis=1))
    # A wave that does not fit the run a whole number of times leaks a little at its ends.
    assert left[:, 0].std() < 0.1 * slow.std()
    assert np.corrcoef(left[:, 1], fast)[0, 1] > 0.99


def test_no_cutoff_removes_the_mean_alone() -> None:
    data = np.random.default_rng(0).standard_normal((50, 3)) + 7
    left = signal.remove(signal.cosine_drifts(50, 2.0, None), data)
    np.testing.assert_allclose(left, data - data.mean(axis=0), atol=1e-12)


def test_residuals_are_those_of_least_squares_whatever_the_scale_of_the_nuisance() -> None:
    rng = np.random.default_rng(1)
    nuisance, data = rng.standard_normal((40, 3)), rng.standard_normal((40, 2))
    expected = data - nuisance @ np.linalg.solve(nuisance.T @ nuisance, nuisance.T @ data)
    np.testing.assert_allclose(signal.remove(nuisance * [1, 1e-12, 1e9], data), expected)
    collinear = np.hstack([nuisance, nuisance[:, :1], np.zeros((40, 1))])
    np.testing.assert_allclose(signal.remove(collinear, data), expected)


def test_a_constant_target_becomes_zero() -> None:
    data = np.stack([np.full(20, 0.1), np.arange(20.0)], axis=1)
    assert (signal.standardise(data)[:, 0] == 0).all()


# The reader, on synthetic files.


def test_words_have_ids_times_and_their_own_spelling(alice_master: Path) -> None:
    words = reader(alice_master).stimuli()
    assert (len(words), words.design, words.modality) == (2127, "story", "language")
    assert words.ids[[0, -1]].tolist() == ["w0001", "w2127"]
    assert words.texts is not None
    assert words.texts[:3] == ("Word0", "'s", "Word2")
    assert words.onset is not None
    assert words.offset is not None
    assert words.onset[0] == 20.0
    assert (np.diff(words.onset) > 0).all()
    assert (words.offset > words.onset).all()


def test_ceilings_recover_the_planted_agreement(
    alice_master: Path, alice_truth: dict[str, float]
) -> None:
    alice = reader(alice_master)
    variance = alice_truth["noise"] ** 2
    ceilings = np.stack([alice.responses(one).noise_ceiling for one in alice.subjects()])
    expected = 1 / ((1 + variance) * (1 + variance / (SUBJECTS - 1)))
    np.testing.assert_allclose(ceilings.mean(axis=0), expected, atol=0.04)
    group = alice.responses("group")
    np.testing.assert_allclose(group.noise_ceiling, SUBJECTS / (SUBJECTS + variance), atol=0.03)
    assert group.attrs["noise_ceiling"] == "split-half"


def test_responses_are_filtered_standardised_and_timed(alice_master: Path) -> None:
    alice = reader(alice_master)
    assert len(alice.subjects()) == SUBJECTS
    one = alice.responses("s18")
    assert one.data.shape == (362, 6)
    assert one.data.dtype == np.float32
    assert (one.tr, one.start) == (2.0, 20.0)
    assert one.region.tolist() == [region.name for region in alice.regions()]
    np.testing.assert_allclose(one.data.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(one.data.std(axis=0), 1, atol=1e-5)
    ramp = np.linspace(-1, 1, 362)
    assert max(abs(np.corrcoef(ramp, column)[0, 1]) for column in one.data.T) < 0.1
    plain = reader(alice_master, high_pass=None, standardise=False).responses("s18").data
    assert plain.std() > 20
    assert min(np.corrcoef(ramp, column)[0, 1] for column in plain.T) > 0.5


def test_the_group_weighs_listeners_alike_whatever_their_scale(alice_master: Path) -> None:
    alice = reader(alice_master)
    mean = np.mean([alice.responses(one).data for one in alice.subjects()], axis=0)
    np.testing.assert_allclose(
        alice.responses("group").data, mean / mean.std(axis=0), rtol=1e-3, atol=1e-4
    )


def test_motion_can_be_removed(alice_master: Path) -> None:
    motion = reader(alice_master)._motion("s22")
    assert motion.shape == (362, 6)
    moved = reader(alice_master, roi_radius="10mm").responses("s22").data
    still = reader(alice_master, roi_radius="10mm", regress=("motion",)).responses("s22").data
    head = motion.sum(axis=1)
    assert np.corrcoef(head, moved[:, 0])[0, 1] > 0.7
    assert abs(np.corrcoef(head, still[:, 0])[0, 1]) < 0.05


def test_options_are_checked_through_the_registry(alice_master: Path) -> None:
    def settings(**options: Any) -> DatasetConfig:
        return DatasetConfig(
            reader="alice",
            modality="language",
            design="story",
            subjects=("s18", "group"),
            options={"data": str(alice_master), "verify": False, **options},
        )

    opened = open_dataset("story", settings(roi_radius="10mm", regress=["motion"]))
    assert opened.responses("s18").dataset == "story"
    for wrong, message in (
        ({"roi_radius": "8mm"}, "option 'roi_radius'"),
        ({"radius": "6mm"}, "no option 'radius'.*roi_radius"),
        ({"high_pass": 2}, "option 'high_pass"),
        ({"regress": ["music"]}, "option 'regress"),
    ):
        with pytest.raises(ConfigError, match=message):
            open_dataset("story", settings(**wrong))


# Faults.


def test_unusable_and_unknown_listeners(alice_master: Path) -> None:
    alice = reader(alice_master)
    for read in (alice.responses, alice.nuisance):
        with pytest.raises(DataError, match=r"'s33' cannot be used: .* zero everywhere"):
            read("s33")
        with pytest.raises(UnknownKeyError, match=r"unknown subject 's19'.*did you mean"):
            read("s19")


def test_a_missing_directory_says_what_it_is_and_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        reader(tmp_path / "nowhere", name="story").stimuli()
    message = str(caught.value)
    for part in (
        "nowhere",
        "alice_data_shared",
        "convergent fetch alice",
        "make alice DATA=DIR",
        "--set datasets.story.options.data=DIR",
    ):
        assert part in message


def test_home_and_variables_in_the_directory_are_expanded(
    alice_master: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(alice_master.parent))
    monkeypatch.setenv("STORIES", str(alice_master.parent))
    for written in (f"~/{alice_master.name}", f"$STORIES/{alice_master.name}"):
        assert len(reader(Path(written)).stimuli()) == 2127


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("drop line", "", "361 volumes, expected 362"),
        ("drop column", "", "line 5: 5 columns, expected 6"),
        ("word", "abc", "line 5: could not convert string to float"),
        ("nan", "nan", "constant or non-finite time courses in LATL"),
        ("zeros", "", "constant or non-finite time courses in LATL, RATL"),
        ("delete", "", "s24-timecourses.txt cannot be read: No such file"),
    ],
)
def test_damaged_time_courses_are_named_for_the_listener_and_for_the_group(
    alice_folder: Path, old: str, new: str, message: str
) -> None:
    path = alice_folder / "alice_data_shared/6mm/s24-timecourses.txt"
    lines = path.read_text().splitlines()
    if old == "drop line":
        lines.pop()
    elif old == "drop column":
        lines[4] = " ".join(lines[4].split()[1:])
    elif old == "zeros":
        lines = [" ".join(["0"] * 6)] * len(lines)
    else:
        lines[4] = " ".join([new, *lines[4].split()[1:]])
    path.write_text("\n".join(lines))
    if old == "delete":
        path.unlink()
    alice = reader(alice_folder)
    for subject in ("s24", "group"):
        with pytest.raises(DataError, match=message) as caught:
            alice.responses(subject)
        assert "s24" in str(caught.value)


def test_another_number_of_words_is_an_error(alice_folder: Path) -> None:
    path = next((alice_folder / "alice_stim_shared").iterdir())
    path.write_text(path.read_text().replace('"Word7 "', '"sp"'))
    with pytest.raises(DataError, match="2126 words, expected 2127"):
        reader(alice_folder).stimuli()


def test_files_that_are_not_the_published_ones_are_refused(alice_master: Path) -> None:
    alice = reader(alice_master, verify=True)
    with pytest.raises(DataError, match=r"TextGrid is not the published one"):
        alice.stimuli()
    with pytest.raises(DataError, match=r"s18-timecourses\.txt is not the published one"):
        alice.responses("s18")


# Nuisance.


def test_nuisance_is_in_the_time_of_the_responses_and_filtered_as_they_are(
    alice_master: Path,
) -> None:
    alice = reader(alice_master)
    given = alice.responses("s22").nuisance
    assert given is not None and not given.delayed.any()
    assert given.name.tolist() == (["word_rate", "sound_power"] + ["motion"] * 6 + ["position"] * 3)
    drifts = signal.cosine_drifts(362, 2.0, 128.0)
    columns = np.column_stack(
        [
            np.loadtxt(alice_master / "alice_data_shared/s22-rate.txt"),
            np.loadtxt(alice_master / "alice_data_shared/s22-sndpwr.txt"),
            np.loadtxt(alice_master / motion_file("s22"))[10:],
        ]
    )
    expected = columns - drifts @ np.linalg.lstsq(drifts, columns, rcond=None)[0]
    np.testing.assert_allclose(given.values[:, :8], expected, atol=1e-8)
    position = given.only(("position",)).values
    np.testing.assert_allclose(position[:, 0], np.linspace(-1, 1, 362))


def test_the_group_has_what_the_listeners_share(alice_master: Path) -> None:
    alice = reader(alice_master)
    group = alice.nuisance("group")
    assert group.values.shape == (362, 11)
    everyone = np.mean([signal.standardise(alice._nuisance(s)) for s in alice.subjects()], axis=0)
    drifts = signal.cosine_drifts(362, 2.0, 128.0)
    np.testing.assert_allclose(group.values[:, :8], signal.remove(drifts, everyone), atol=1e-10)


@pytest.mark.parametrize("name", ["s24-rate.txt", "s24-sndpwr.txt", "motion"])
def test_missing_and_short_confound_files_are_named(alice_folder: Path, name: str) -> None:
    path = motion_file("s24") if name == "motion" else f"alice_data_shared/{name}"
    file = alice_folder / path
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(DataError, match=rf"{len(lines) - 1} volumes, expected {len(lines)}"):
        reader(alice_folder).responses("s24")
    file.unlink()
    with pytest.raises(DataError, match=Path(path).name):
        reader(alice_folder).responses("s24")
    assert reader(alice_folder).responses("s22").nuisance is not None
