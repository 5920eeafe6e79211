"""Scores measured on the study's own images go into the table of scores."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import timm
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits

from convergent.errors import ConfigError, DataError, WeightsError
from convergent.pipeline.evaluate import evaluate, read_scores
from convergent.pipeline.weights import check_all_distinct, load_checkpoint, write_manifests
from convergent.study import Study

MODELS = """\
model\tfamily\tmodality\tsource\treference\tarchitecture\tparameters\tlayers\twidth\tlayout\tpooling\tpreprocessing
net\tnets\tvision\ttimm\tpath:{place}/a\tresnet10t\t4900000\tlayer1;layer2\t64;128\tchannels_first\tspatial_mean\tsize=32
copy\tother\tvision\ttimm\tpath:{place}/b\tresnet10t\t4900000\tlayer1\t64\tchannels_first\tspatial_mean\tsize=32
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    state = timm.create_model("resnet10t").state_dict()
    for name in "ab":
        (tmp_path / name).mkdir()
        save_file(state, tmp_path / name / "model.safetensors")
    (tmp_path / "models.tsv").write_text(MODELS.format(place=tmp_path))
    for label, digit in zip("xyz", load_digits().images, strict=False):
        (tmp_path / "images" / label).mkdir(parents=True)
        Image.fromarray((digit * 15).astype("uint8")).save(tmp_path / "images" / label / "1.png")
    rows = "".join(f"{name}\t{i}\t{name}\n" for i, name in enumerate("xyz"))
    (tmp_path / "classes.tsv").write_text("folder\tindex\tname\n" + rows)
    scenes = {"reader": "simulated-scenes", "modality": "vision", "design": "items",
              "subjects": ["sim01"], "options": {"seed": 1, "vertices": 1}}  # fmt: skip
    config = {
        "study": "s",
        "title": "t",
        "tables": {"models": ["models.tsv"]},
        "twins": {"seeds": [0, 1], "models": ["net"]},
        "datasets": {"scenes": scenes},
        "select": {"models": ["net"]},
        "performance": {"evaluations": ["top1"], "images": "images", "classes": "classes.tsv"},
    }

    def load(**changes):
        (tmp_path / "s.yaml").write_text(yaml.safe_dump({**config, **changes}))
        return Study.load(tmp_path / "s.yaml")

    return load


def test_every_checkpoint_and_twin_has_its_score(study):
    loaded = study()
    write_manifests(loaded, "net", None)
    evaluate(loaded, "net")
    lines = Path(loaded.paths.performance("net")).read_text().splitlines()
    rows = list(csv.DictReader(lines[1:], delimiter="\t"))  # the first says what the file is
    assert lines[0].startswith("# ") and read_scores(loaded, "net")[2].score == float(
        rows[2]["score"]
    )
    assert [row["checkpoint"] for row in rows] == ["final", "random-0", "random-1"]
    assert all(row["benchmark"] == "top1" and 0 <= float(row["score"]) <= 1 for row in rows)
    assert all("3 images of 3 classes in images" in row["source"] for row in rows)


def test_files_that_are_measured_on_are_part_of_the_identity_when_used(study):
    plain = study(performance={"evaluations": ["top1"]})
    with_images = study()
    other = study(performance={"evaluations": ["top1"], "images": "images"})
    found = {each.identity("evaluate", model="net") for each in (plain, with_images, other)}
    assert len(found) == 3
    assert plain.identity("correlate") == with_images.identity("correlate")
    assert with_images.performance_files() == ["classes.tsv"]
    assert plain.performance_files() == []


def test_the_same_weights_under_two_names_stop_the_study_before_its_results(study):
    loaded = study(select={})
    write_manifests(loaded, "net", None)
    write_manifests(loaded, "copy", None)  # another family: found when results are gathered
    with pytest.raises(WeightsError, match="model 'copy', checkpoint 'final': the same weights"):
        check_all_distinct(loaded)
    from convergent.pipeline.correlate import correlate

    with pytest.raises(WeightsError, match="the same weights"):
        correlate(loaded)


def test_the_same_weights_within_a_family_are_found_with_the_weights(study, tmp_path):
    table = tmp_path / "models.tsv"
    table.write_text(table.read_text().replace("copy\tother", "copy\tnets"))
    loaded = study(select={})
    write_manifests(loaded, "net", None)
    with pytest.raises(WeightsError, match="the same weights"):
        write_manifests(loaded, "copy", None)


def test_each_job_hashes_again_if_the_study_says_so(study, tmp_path, monkeypatch):
    from convergent.models import manifest as _manifest

    loaded = study()
    write_manifests(loaded, "net", None)
    hashed = []
    monkeypatch.setattr(_manifest, "file_sha256", lambda path: hashed.append(path.name))
    found, _ = load_checkpoint(loaded, "net", "final", layers=["layer1"])
    assert hashed == []
    assert 0 < found.reading.bytes < found.reading.total / 10
    with pytest.raises(WeightsError, match="has changed"):
        load_checkpoint(study(weights={"check": "full"}), "net", "final")
    assert hashed == ["model.safetensors"]


def test_nothing_to_measure_on_is_an_error(study):
    loaded = study(performance={"evaluations": ["top1"]})
    write_manifests(loaded, "net", None)
    with pytest.raises(ConfigError, match=r"set performance\.images"):
        evaluate(loaded, "net")
    with pytest.raises(DataError, match="no such folder of images"):
        evaluate(study(performance={"evaluations": ["top1"], "images": "none"}), "net")
    with pytest.raises(ConfigError, match="stride must be smaller than window"):
        study(performance={"evaluations": [], "window": 8, "stride": 8})
    with pytest.raises(ConfigError, match="each template has one"):
        study(performance={"evaluations": [], "templates": ["a photo"]})
