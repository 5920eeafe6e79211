"""From NSD's files to alignment stores through Snakemake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from convergent.brains.nsd import example
from convergent.pipeline.fit import fit
from convergent.store import open_store
from convergent.study import Study
from workflow_fixtures import Workflow

MODELS = """\
model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\tpreprocessing
pixels\tcontrols\tvision\tbaseline\tpixels\t0\tfeatures\t27\tvector\tnone\tsize=3
lengths\tcontrols\tlanguage\tbaseline\ttext-length\t0\tfeatures\t3\tvector\tnone\t
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory, repository):
    """Two subjects, one of fewer sessions; images on the surface, captions in the volume."""
    folder = tmp_path_factory.mktemp("study")
    made = example.write_experiment(folder / "nsd", scale=25)
    for subject in ("subj01", "subj04"):
        example.write_surface(made, subject, {"lh": 50, "rh": 40})
        example.write_volume(made, subject, nifti=False)
    (folder / "models.tsv").write_text(MODELS)
    options = {"data": "nsd", "agreement": "accepted"}
    subjects = ["subj01", "subj04"]
    datasets = {
        "nsd": {"modality": "vision", "options": {**options, "space": "fsaverage"}},
        "captions": {"modality": "language", "options": {**options, "captions": "mean"}},
    }
    workflow = Workflow(
        folder,
        repository,
        {
            "study": "small",
            "title": "NSD, cut down",
            "tables": {"models": ["models.tsv"]},
            "datasets": {
                name: {"reader": "nsd", "design": "items", "subjects": subjects, **section}
                for name, section in datasets.items()
            },
            "fit": {"permutations": 4, "metrics": {"ridge": None, "cka": None}},
            "granularity": "model",
        },
    )
    workflow.snakemake(*(f"results/small/models/{name}.parquet" for name in ("pixels", "lengths")))
    return workflow, made


def alignment(workflow, dataset, model, subject):
    path = workflow.folder / f"results/small/alignment/{dataset}/{model}/final/features"
    return open_store(path / f"{subject}.zarr.zip", "alignment")


@pytest.mark.parametrize("subject", ["subj01", "subj04"])
def test_planted_vertices_are_found_and_the_others_are_not(study, subject):
    workflow, made = study
    store = alignment(workflow, "nsd", "pixels", subject)
    assert store["fold_r"].shape[0] == 1  # the split that the data set fixes
    region = store["target_region"]
    for name, h in example.AREAS.values():
        mine = np.isin(region, [f"L_{name}", f"R_{name}"])
        found = store["r"][mine].mean()
        expected = np.sqrt(h / (h + (1 - h) / 3))
        assert found == pytest.approx(expected, abs=0.12), name
    responses = open_store(
        workflow.folder / f"results/small/responses/nsd/{subject}.zarr.zip", "responses"
    )
    number = np.array([int(image[3:]) for image in responses["stimulus_id"].tolist()])
    sessions = 40 if subject == "subj01" else 30
    shown = np.unique([made.shown(subject, k) for k in range(1, sessions + 1)])
    assert set(number) <= set(shown)
    assert responses.attrs["source"]["sessions"] == list(range(1, sessions + 1))
    assert store.attrs["n_samples"] == number.size


def test_images_divide_into_shared_and_own(study):
    workflow, made = study
    stimuli = open_store(workflow.folder / "results/small/stimuli/nsd.zarr.zip", "stimuli")
    number = np.array([int(image[3:]) for image in stimuli["stimulus_id"].tolist()])
    tests = stimuli["split"] == "test"
    assert np.isin(number[tests], made.images[0][:40]).all()
    assert not np.isin(number[~tests], made.images[0][:40]).any()


def test_captions_are_compared_with_the_volume(study):
    workflow, _ = study
    store = alignment(workflow, "captions", "lengths", "subj01")
    responses = open_store(
        workflow.folder / "results/small/responses/captions/subj01.zarr.zip", "responses"
    )
    assert store.attrs["n_samples"] == responses["stimulus_id"].size
    table = pl.read_parquet(workflow.folder / "results/small/models/lengths.parquet")
    assert set(table["metric"]) == {"ridge_r", "ridge_r2", "cka"}


def test_responses_on_disk_give_the_same_stores(study, monkeypatch):
    workflow, _ = study
    monkeypatch.chdir(workflow.folder)
    loaded = Study.load("study.yaml")
    path = Path(loaded.paths.alignment("nsd", "pixels", "final", "features", "subj01"))
    before = path.read_bytes()
    path.unlink()
    monkeypatch.setattr("convergent.pipeline.data._HELD_BYTES", 0)
    fit(loaded, "pixels", "final", "features", "nsd", "subj01")
    assert path.read_bytes() == before


def test_another_subject_makes_other_stimuli_and_moved_files_do_not(study):
    workflow, _ = study
    target = "results/small/models/pixels.parquet"
    assert workflow.plan(target) == {}
    workflow.config["datasets"]["nsd"]["options"]["scratch"] = "."
    assert workflow.plan(target) == {}
    workflow.config["datasets"]["nsd"]["subjects"].append("subj05")
    planned = workflow.plan(target)
    workflow.config["datasets"]["nsd"]["subjects"].pop()
    assert planned["stimuli"] == 1 and planned["responses"] == 3
