"""Rows wait for their store on the node's own disk: the same bytes, and room known beforehand."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

import convergent.pipeline.extract as stage
from convergent.errors import ConfigError, StoreError
from convergent.pipeline.data import write_stimuli
from convergent.pipeline.extract import extract
from convergent.pipeline.weights import write_manifests
from convergent.study import Study
from workflow_fixtures import CHECKPOINTS, MODELS, _save_tiny_vit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scratch")
    _save_tiny_vit(folder / "vit")
    (folder / "models.tsv").write_text(MODELS.format(vit=folder / "vit"))
    (folder / "checkpoints.tsv").write_text(CHECKPOINTS)
    scenes = {
        "reader": "simulated-scenes", "modality": "vision", "design": "items",
        "subjects": ["sim01"], "options": {"seed": 1, "vertices": 1},
    }  # fmt: skip
    config = {
        "study": "s",
        "title": "t",
        "results": str(folder),
        "tables": {"models": ["models.tsv"], "checkpoints": ["checkpoints.tsv"]},
        "datasets": {"scenes": scenes},
        "select": {"exclude": ["lengths"]},
        "fit": {"permutations": 0, "metrics": {"ridge": None}},
    }
    (folder / "s.yaml").write_text(yaml.safe_dump(config))
    study = Study.load(folder / "s.yaml")
    write_stimuli(study, "scenes")
    write_manifests(study, "tiny-vit", None)
    return folder


@pytest.fixture
def study_with(folder):
    def load(scratch):
        return Study.load(folder / "s.yaml", {"resources.scratch": scratch and str(scratch)})

    return load


@pytest.fixture
def opened(monkeypatch):
    """Folders of the temporary files of rows, in order."""
    folders = []
    real = stage.RowFile

    def watched(directory, *arguments, **options):
        folders.append(Path(directory))
        return real(directory, *arguments, **options)

    monkeypatch.setattr(stage, "RowFile", watched)
    return folders


def stores(study):
    paths = [study.paths.features("scenes", "tiny-vit", "final", f"layers.{i}") for i in (0, 1)]
    return {path: Path(path).read_bytes() for path in paths}


def test_stores_are_the_same_bytes_with_and_without_scratch(study_with, opened, tmp_path):
    plain, other = study_with(None), study_with(tmp_path)
    extract(plain, "tiny-vit", "final", None, None)
    beside = {Path(path).parent for path in stores(plain)}
    assert set(opened) == beside
    expected = stores(plain)
    for path in expected:
        Path(path).unlink()
    opened.clear()
    extract(other, "tiny-vit", "final", None, None)
    assert opened == [tmp_path, tmp_path]
    assert stores(other) == expected
    assert not list(tmp_path.iterdir())


def test_scratch_that_cannot_be_used_ends_the_job_before_weights_are_read(
    study_with, monkeypatch, tmp_path
):
    monkeypatch.setattr(stage, "load_checkpoint", lambda *_, **__: pytest.fail("weights were read"))
    with pytest.raises(ConfigError, match="there is no such folder"):
        extract(study_with(tmp_path / "absent"), "tiny-vit", "final", None, None)


def test_too_little_room_for_all_layers_is_known_before_a_pass(
    study_with, opened, monkeypatch, tmp_path
):
    real = os.statvfs

    def nearly_full(path):
        if Path(path) != tmp_path:
            return real(path)
        return SimpleNamespace(f_bavail=one_layer, f_frsize=1)

    study = study_with(tmp_path)
    model = study.model("tiny-vit")
    one_layer = stimuli_of(study) * model.layers[0].width * 4
    monkeypatch.setattr(os, "statvfs", nearly_full)
    extract(study, "tiny-vit", "final", "layers.0", None)
    opened.clear()
    with pytest.raises(StoreError) as caught:
        extract(study, "tiny-vit", "final", None, None)
    told = str(caught.value)
    assert "model 'tiny-vit', checkpoint 'final', 2 layers: the rows need" in told
    assert str(tmp_path) in told
    assert "resources.scratch" in told
    assert opened == []


def stimuli_of(study):
    from convergent.pipeline.data import read_stimuli

    return len(read_stimuli(study, "scenes"))


@pytest.mark.parametrize("scratch", [True, False])
def test_a_disk_that_fills_up_is_named_with_model_layer_and_store(
    scratch, study_with, monkeypatch, tmp_path
):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    study = study_with(tmp_path if scratch else None)
    store = study.paths.features("scenes", "tiny-vit", "final", "layers.1")
    Path(store).unlink(missing_ok=True)
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StoreError) as caught:
        extract(study, "tiny-vit", "final", "layers.1", None)
    place = tmp_path if scratch else Path(store).parent
    told = str(caught.value)
    assert told.startswith(
        f"model 'tiny-vit', checkpoint 'final', layer 'layers.1' ({store}): "
        f"rows can't be kept in {place}: No space left on device. Fix: "
    )
    assert ("resources.scratch" in told) == scratch
    assert not Path(store).exists()
    assert not list(Path(store).parent.glob(".*"))
