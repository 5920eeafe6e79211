"""Bad input ends every command with one line that says what, where and how to mend it."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from convergent.cli import main
from convergent.store import open_store, write_store


@pytest.fixture
def run(workflow, monkeypatch, capsys):
    """Run a command on the finished study's copy; returns (exit status, last line of stderr)."""
    workflow.write()
    monkeypatch.chdir(workflow.folder)

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["convergent", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        lines = capsys.readouterr().err.strip().splitlines()
        return int(stopped.value.code or 0), lines[-1] if lines else ""

    return call


STUDY = ("--study", "study.yaml")
LAYER = ("--model", "tiny-vit", "--checkpoint", "final", "--layer", "layers.1")


def test_a_good_command_ends_with_status_0(run):
    assert run("measure", *STUDY, "--model", "gabor")[0] == 0


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("extract", "--model", "tiny-vti"), ["unknown model 'tiny-vti'", "'tiny-vit'"]),
        (("extract", *LAYER[:4], "--layer", "layer.1"), ["no layer 'layer.1'", "'layers.1'"]),
        (("fit", *LAYER, "--subject", "sim9"), ["no subject 'sim9'", "did you mean 'sim0"]),
        (("family", "--family", "tinny"), ["unknown family 'tinny'", "'tiny'"]),
        (("train", "--model", "tiny-vit"), ["reference 'path:", "trained:<recipe>"]),
        (("evaluate", "--model", "gabor"), ["nothing to evaluate for 'gabor'"]),
        (("fit", *LAYER, "--set", "fit.fold=3"), ["unknown key 'fit.fold'", "'folds'"]),
    ],
)
def test_unknown_names_are_told_with_the_nearest_known(run, command, words):
    status, line = run(command[0], *STUDY, *command[1:])
    assert status == 2
    assert line.startswith("error: ")
    assert all(word in line for word in words), line


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
@pytest.mark.parametrize("stage", ["extraction", "fit"])
def test_cuda_is_an_error_where_there_is_none(run, stage):
    command = "extract" if stage == "extraction" else "fit"
    status, line = run(command, *STUDY, *LAYER, "--set", f"{stage}.device=cuda")
    assert status == 2
    assert "no usable CUDA GPU" in line


def test_a_wrong_width_is_told_with_module_and_shape(run, workflow):
    workflow.edit("models", "\t16\ttokens", "\t24\ttokens")
    status, line = run("extract", *STUDY, *LAYER)
    assert status == 2
    assert "layers.1" in line
    assert "24" in line and "16" in line


def test_a_malformed_table_is_told_with_file_row_and_column(run, workflow):
    workflow.edit("models", "\t16\ttokens\tcls", "\t16\ttokens\tclss")
    status, line = run("extract", *STUDY, *LAYER)
    assert status == 2
    assert "models.tsv, line 4, column 'pooling'" in line and "did you mean 'cls'" in line


def test_validate_tells_every_mistake_once(run, workflow):
    workflow.edit("models", "\t16\ttokens\tcls", "\t16\ttokens\tclss")
    workflow.edit("models", "\t3\tvector", "\tthree\tvector")
    status, line = run("validate", *STUDY)
    assert status == 2
    assert line == "2 error(s) in study.yaml"


def test_validate_names_a_missing_data_directory(run, workflow):
    workflow.config["datasets"] = {
        "alice": {
            "reader": "alice",
            "modality": "language",
            "design": "story",
            "subjects": ["s18"],
            "options": {"data": "nowhere"},
        }
    }
    workflow.config["select"] = {"models": ["lengths"]}
    workflow.write()
    status, line = run("stimuli", *STUDY, "--dataset", "alice")
    assert status == 2
    assert "nowhere" in line and "convergent fetch alice" in line


def _spoil_ids(path: str, change) -> None:
    store = open_store(path, "responses")
    arrays = {name: (store.dims[name], values) for name, values in store.arrays.items()}
    ids = store["stimulus_id"].astype("U64")
    change(ids)
    arrays["stimulus_id"] = (("stimulus",), ids)
    write_store(path, "responses", arrays, store.attrs)


def test_ids_that_do_not_belong_together_are_errors_and_no_low_scores(run):
    path = "results/small/responses/scenes/sim01.zarr.zip"
    original = open_store(path, "responses")["stimulus_id"][0]

    def unknown(ids: np.ndarray) -> None:
        ids[0] = "nobody-saw-this"

    _spoil_ids(path, unknown)
    status, line = run("fit", *STUDY, *LAYER, "--subject", "sim01")
    assert status == 2
    assert "nobody-saw-this" in line and "unknown stimuli" in line

    def twice(ids: np.ndarray) -> None:
        ids[0] = original
        ids[1] = original

    _spoil_ids(path, twice)
    status, line = run("fit", *STUDY, *LAYER, "--subject", "sim01")
    assert status == 2
    assert "more than once" in line and str(original) in line


def test_a_damaged_store_is_told_with_model_layer_and_subject(run, workflow):
    path = workflow.folder / "results/small/alignment/scenes/tiny-vit/final/layers.1/sim02.zarr.zip"
    path.write_bytes(path.read_bytes()[:1000])
    status, line = run("measure", *STUDY, "--model", "tiny-vit")
    assert status == 2
    for word in ("tiny-vit", "final", "layers.1", "sim02", "damaged", "rerun"):
        assert word in line


def test_changed_weights_under_the_same_name_are_refused(run, workflow):
    weights = next(iter((workflow.folder).glob("vit/*.safetensors")), None)
    table = (workflow.folder / "models.tsv").read_text()
    folder = workflow.folder / "vit"
    assert weights is not None
    original = table.split("path:")[1].split("\t")[0]
    workflow.edit("models", f"path:{original}", f"path:{folder}")
    run("weights", *STUDY, "--model", "tiny-vit")
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    status, line = run("extract", *STUDY, *LAYER)
    assert status == 2
    assert "has changed since it was recorded" in line
