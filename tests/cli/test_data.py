"""`convergent data check` tells everything at once, draws it, and ends with 2 on mistakes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from convergent.brains.custom import write_example
from convergent.cli import main
from convergent.errors import DataError
from convergent.pipeline import data
from convergent.study import Study


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["convergent", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        told = capsys.readouterr()
        return int(stopped.value.code or 0), told.out, told.err

    return call


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_example(tmp_path / "images")


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_good_data_set_is_told_and_drawn(run, images, tmp_path, suffix):
    picture = tmp_path / "out" / f"look.{suffix}"
    status, out, err = run("data", "check", images, "--picture", picture)
    assert (status, err) == (0, "")
    assert "60 stimuli (vision, items), images 32 x 32, 4 regions, split: test 15, train 45" in out
    row = next(line for line in out.splitlines() if " 01 " in line).replace("│", "|")
    assert [cell.strip() for cell in row.split("|")][1:10] == [
        "01", "120", "20", "60", "0", "0", "2", "0", "0",
    ]  # fmt: skip
    assert picture.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml")
    again = tmp_path / f"again.{suffix}"
    run("data", "check", images, "--picture", again)
    assert again.read_bytes() == picture.read_bytes()


def test_every_mistake_of_every_subject_is_told_at_once(run, images):
    folder = images.parent
    events = folder / "sub-01_events.tsv"
    events.write_text(events.read_text().replace("image017", "image17"))
    data = np.load(folder / "sub-02_betas.npy")
    data[0, :3], data[:, 19] = np.nan, 1.0
    np.save(folder / "sub-02_betas.npy", data)
    labels = folder / "targets.tsv"
    labels.write_text(labels.read_text().replace("L_FFC", "L_FFCC"))
    status, out, err = run("data", "check", images)
    assert status == 2
    rows = [line for line in out.splitlines() if " 01 " in line or " 02 " in line]
    cells = [[cell.strip() for cell in row.replace("│", "|").split("|")] for row in rows]
    assert cells[0][4:7] == ["59", "1", "1"]  # matched, only stimuli, only responses
    assert cells[1][8:10] == ["3", "1"]  # missing, constant
    assert "answer unknown stimuli: image17" in err
    assert "NaN or infinite responses in 3 targets" in err
    assert "region 'L_FFCC' is not in atlas" in err
    assert err.strip().endswith("error(s)")


def test_what_is_no_mistake_is_a_warning(run, images):
    config = yaml.safe_load(images.read_text())
    config["ceilings"] = {"from": "none"}
    images.write_text(yaml.safe_dump(config))
    folder = images.parent
    data = np.load(folder / "sub-01_betas.npy")
    data[:, 4] = 1.0
    np.save(folder / "sub-01_betas.npy", data)
    status, out, _ = run("data", "check", images, "--subject", "01")
    assert status == 0
    assert "1 targets are constant" in out
    assert "no noise ceiling" in out


def test_the_data_sets_of_a_study_are_checked(run, tmp_path, images):
    (tmp_path / "models.tsv").write_text(
        "model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\t"
        "preprocessing\ngabor\tcontrols\tvision\tbaseline\tgabor\t0\tfeatures\t32\tvector\tnone\t"
        "size=32 orientations=4 scales=2 grid=2\n"
    )
    study = {
        "study": "mine",
        "title": "Mine",
        "tables": {"models": ["models.tsv"]},
        "datasets": {
            "mine": {
                "reader": "own", "modality": "vision", "design": "items", "subjects": ["02"],
                "options": {"file": str(images)},
            }
        },
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    status, out, _ = run("data", "check", "--study", tmp_path / "study.yaml")
    assert status == 0
    assert "mine: 60 stimuli" in out
    assert " 01 " not in out


def test_wrong_files_and_kinds_are_one_line(run, tmp_path, images):
    status, _, err = run("data", "check", tmp_path / "nothing.yaml")
    assert status == 2
    assert err.startswith("error: ")
    assert "there is no such file" in err
    assert run("data", "check", images, "--picture", "x.pdf")[2].count("\n") == 1
    status, _, err = run("data", "example", tmp_path / "new", "--kind", "image")
    assert status == 2
    assert "did you mean 'images'?" in err
    assert run("data", "example", tmp_path / "new", "--kind", "story")[0] == 0
    assert (tmp_path / "new" / "data.yaml").is_file()


def test_pictures_that_are_not_what_they_should_be_are_counted(run, images):
    from PIL import Image

    folder = images.parent / "images"
    for number, values in enumerate((np.zeros((32, 32)), np.eye(32) * 255, np.eye(32) * 9)):
        image = Image.fromarray(values.astype(np.uint8))
        image.save(folder / f"image00{number}.png")
    (folder / "image009.png").write_bytes((folder / "image008.png").read_bytes())
    Image.open(folder / "image008.png").save(folder / "image010.png", compress_level=0)
    status, out, _ = run("data", "check", images)
    assert status == 0
    assert "pictures: as stored 57, grey 3; " in out
    assert "; 2 repeated" in out
    assert "1 pictures are of one colour, such as 'image000'" in out
    assert "1 pictures are black or white in more than half of their values" in out
    assert "1 pictures have no value of 32 or more" in out
    assert "2 stimuli have the picture of another, such as image008, image009, image010" in out
    table = (images.parent / "stimuli.tsv").read_text().splitlines()
    rows = [f"{row}\t{'a' if row[5:8] in ('008', '009', '010') else row[:8]}" for row in table[1:]]
    (images.parent / "stimuli.tsv").write_text("\n".join([table[0] + "\tseries", *rows]) + "\n")
    config = yaml.safe_load(images.read_text())
    config["stimuli"] = {**config["stimuli"], "group": "series"}
    config["stimuli"].pop("split", None)
    images.write_text(yaml.safe_dump(config))
    assert "have the picture of another" not in run("data", "check", images)[1]


def test_offsets_of_sessions_that_stay_in_the_responses_are_told(run, images):
    config = yaml.safe_load(images.read_text())
    config["responses"]["session"] = "session"
    images.write_text(yaml.safe_dump(config))
    for subject in ("01", "02"):
        table, values = (images.parent / f"sub-{subject}_{name}" for name in (
            "events.tsv", "betas.npy"))  # fmt: skip
        header, *rows = table.read_text().splitlines()
        session = np.arange(len(rows)) % 3
        lines = [f"{row}\t{number}" for row, number in zip(rows, session, strict=True)]
        table.write_text("\n".join([f"{header}\tsession", *lines]) + "\n")
        np.save(values, np.load(values) + (session * float(subject == "01"))[:, None])
    status, out, _ = run("data", "check", images)
    assert status == 0 and out.count("of the variance is between sessions") == 1
    assert re.search("warning: subject '01': [23].% of the variance is between sessions", out)
    config["responses"]["standardise"] = "session"
    images.write_text(yaml.safe_dump(config))
    assert "between sessions" not in run("data", "check", images)[1]


@pytest.fixture
def story(tmp_path: Path) -> Path:
    return write_example(tmp_path / "story", "story")


def retime(path: Path, scale: float = 1.0, shift: float = 0.0) -> None:
    """Give word times in other units, or from another zero."""
    table = path.parent / "words.tsv"
    header, *rows = table.read_text().splitlines()
    cells = [row.split("\t") for row in rows]
    table.write_text("\n".join([header, *(
        "\t".join([name, word, f"{float(on) * scale + shift}", f"{float(off) * scale + shift}"])
        for name, word, on, off in cells
    )]) + "\n")  # fmt: skip


def test_words_and_volumes_of_a_story_are_told_in_time(run, story):
    status, out, _ = run("data", "check", story)
    assert status == 0 and out.count("story: ") == 1
    assert "scan 0 to 400 s; of 900 words 0.0% are before the scan (0.0% out of reach)" in out
    retime(story, shift=-8.0)  # the first volumes were cut: delays reach back 4 volumes of 2 s
    status, out, _ = run("data", "check", story)
    assert status == 0 and "(0.0% out of reach)" in out and "0.0% are before" not in out
    retime(story, shift=-12.0)
    status, out, _ = run("data", "check", story)
    assert status == 0
    assert re.search(r"warning: [23].\d% of the words are too early for the first volume", out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": 1000}, "words come at a median rate of 0.00"),
        ({"scale": 16000}, "words come at a median rate of 0.000"),
        ({"scale": 1 / 60}, "words come at a median rate of 19"),
        ({"scale": 1 / 2}, "no word reaches 5.% of 200 volumes"),  # volumes of 2 s
        ({"scale": 1 / 1.5}, "no word reaches 3.% of 200 volumes"),
        ({"scale": 1.3}, "2.% of 900 words are outside the scan"),
        ({"shift": 60}, "1.% of 900 words are outside the scan .0% too early"),
        ({"shift": -60}, "1.% of 900 words are outside the scan .1.% too early"),
        ({"shift": 1.6e9}, "100% of 900 words are outside the scan"),
    ],
)
def test_word_times_in_other_units_or_from_another_zero_are_refused(run, story, change, message):
    retime(story, **change)
    status, _, err = run("data", "check", story)
    assert status == 2 and err.count("\n") == 2  # once for all subjects, and the number of errors
    assert re.search(message, err) and "give onsets and offsets in seconds" in err


def test_the_pipeline_refuses_them_before_anything_is_fitted(run, story, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.tsv").write_text(
        "model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\n"
        "lengths\tcontrols\tlanguage\tbaseline\ttext-length\t0\tfeatures\t3\tvector\tnone\n"
    )
    section = {"reader": "own", "modality": "language", "design": "story", "subjects": ["01"],
               "options": {"file": str(story)}}  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({
        "study": "s", "title": "A study", "tables": {"models": ["models.tsv"]},
        "datasets": {"mine": section},
    }))  # fmt: skip
    study = Study.load("study.yaml")
    data.write_stimuli(study, "mine")
    data.write_responses(study, "mine", "01")
    retime(story, shift=-100)
    data.write_stimuli(study, "mine")
    with pytest.raises(DataError, match="of 900 words are outside the scan"):
        data.write_responses(study, "mine", "01")
    retime(story, scale=1000)
    with pytest.raises(DataError, match="words come at a median rate"):
        data.write_stimuli(study, "mine")
    status, _, err = run("validate", "--study", "study.yaml")
    assert status == 2 and "words come at a median rate" in err
