"""The study says which files exist, and what each depends on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from convergent.errors import UnknownKeyError
from convergent.study import Study, Unit


def test_models_have_their_layers_checkpoints_and_scores(files):
    study = Study.load(files.path)
    net = study.model("net-a")
    assert [layer.name for layer in net.layers] == ["blocks.0", "blocks.1", "blocks.2"]
    assert [layer.depth for layer in net.layers] == [0.0, 0.5, 1.0]
    assert [layer.width for layer in study.model("net-b").layers] == [4, 8, 16]
    assert [c.name for c in net.checkpoints] == ["step0", "step10", "random-0"]
    assert [c.final for c in net.checkpoints] == [False, True, False]
    assert net.preprocessing == {"size": "32", "mean": "0.5"}
    assert net.tags == ("coco",)
    (only,) = study.model("gpt").checkpoints
    assert (only.name, only.final, only.role) == ("final", True, "trained")
    (control,) = study.model("rate").checkpoints
    assert control.role == "control" and study.model("rate").is_control
    assert {(s.model, s.score) for s in study.published} == {("net-a", 0.5), ("gpt", 0.25)}


def test_one_file_a_layer_and_one_a_layer_and_subject(files):
    study = Study.load(files.path)
    unit = Unit("net-a", "step10", "blocks.1")
    root = study.paths.root
    assert study.feature_files(unit) == [f"{root}/features/scenes/net-a/step10/blocks.1.zarr.zip"]
    assert study.alignment_files(unit) == [
        f"{root}/alignment/scenes/net-a/step10/blocks.1/{subject}.zarr.zip"
        for subject in ("sim01", "sim02")
    ]
    assert len(study.feature_files(Unit("net-a"))) == 9
    assert len(study.alignment_files(Unit("net-a"))) == 18
    assert study.weights_files(Unit("rate")) == []
    assert study.datasets_of("gpt") == ["story"]


def test_a_selection_keeps_rows_and_refuses_unknown_names(files):
    files.config["select"] = {"families": ["nets"], "exclude": ["net-b"]}
    assert list(Study.load(files.path).models) == ["net-a"]
    files.config["select"] = {"families": ["net"]}
    with pytest.raises(UnknownKeyError, match=r"unknown 'net'.*did you mean 'nets'"):
        Study.load(files.path)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.model("net-c"), "unknown model 'net-c'.*did you mean 'net-b' or 'net-a'"),
        (lambda s: s.checkpoint("net-a", "step11"), "no checkpoint 'step11'.*'step10'"),
        (lambda s: s.layer("net-a", "block.1"), "no layer 'block.1'.*'blocks.1'"),
        (lambda s: s.dataset("scene"), "unknown data set 'scene'.*'scenes'"),
        (lambda s: s.family("net"), "unknown family 'net'.*'nets'"),
        (lambda s: s.subject("scenes", "sim3"), "no subject 'sim3'.*'sim01'"),
    ],
)
def test_unknown_keys_are_named_with_the_nearest_known(files, call, message):
    with pytest.raises(UnknownKeyError, match=message):
        call(Study.load(files.path))


def _identity(study: Study, model: str) -> str:
    checkpoint = study.model(model).checkpoints[0].name
    layer = study.model(model).layers[0].name
    dataset = study.datasets_of(model)[0]
    return study.identity(
        "extract", dataset=dataset, model=model, checkpoint=checkpoint, layer=layer
    )


def test_a_changed_row_changes_the_identity_of_that_model_only(files):
    before = Study.load(files.path)
    files.replace("models", "size=32", "size=64")
    after = Study.load(files.path)
    assert _identity(before, "net-a") != _identity(after, "net-a")
    for other in ("net-b", "gpt", "rate"):
        assert _identity(before, other) == _identity(after, other)


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ({"extraction.device": "cuda"}, False),
        ({"extraction.batch_size": 7}, False),
        ({"extraction.memory_gb": 3}, False),
        ({"extraction.offload": "cpu"}, False),
        ({"extraction.store": "float16"}, True),
        ({"extraction.precision": "bfloat16"}, True),
        ({"extraction.precision": None, "extraction.store": "float32"}, False),
        ({"datasets.scenes.subjects": ["sim01", "sim02", "sim03"]}, False),
        ({"granularity": "model"}, False),
        ({"extraction.projection": 128}, True),
        ({"datasets.scenes.options": {"seed": 2}}, True),
    ],
)
def test_what_is_computed_counts_and_how_does_not(files, override, changes):
    before, after = Study.load(files.path), Study.load(files.path, override)
    assert (_identity(before, "net-a") != _identity(after, "net-a")) is changes


def test_moving_the_data_is_no_reason_to_recompute(files):
    before = Study.load(files.path)
    after = Study.load(files.path, {"datasets.story.options.data": "elsewhere"})
    assert _identity(before, "gpt") == _identity(after, "gpt")


def test_labels_change_the_tables_but_not_the_activations(files):
    before = Study.load(files.path)
    files.replace("models", "\tcoco", "\tclean")
    after = Study.load(files.path)
    assert _identity(before, "net-a") == _identity(after, "net-a")
    assert before.identity("measure", model="net-a") != after.identity("measure", model="net-a")


def test_importing_the_study_imports_nothing_heavy():
    code = (
        "import sys, convergent.study, convergent.study.paths; "
        "heavy = {'torch', 'numpy', 'zarr', 'xarray', 'polars', 'transformers'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_resampled_stimuli_count_for_checkpoints_of_a_training_only(files):
    before = Study.load(files.path)
    files.config.setdefault("fit", {})["bootstraps"] = 20
    after = Study.load(files.path)

    def fit(study: Study, model: str, checkpoint: str) -> str:
        layer, dataset = study.model(model).layers[0].name, study.datasets_of(model)[0]
        keys = {"dataset": dataset, "model": model, "checkpoint": checkpoint, "layer": layer}
        return study.identity("fit", **keys)

    for checkpoint, changes in (("step0", True), ("step10", True), ("random-0", False)):
        assert after.resampled("net-a", checkpoint) is changes
        same = fit(before, "net-a", checkpoint) == fit(after, "net-a", checkpoint)
        assert same is not changes
    assert fit(before, "gpt", "final") == fit(after, "gpt", "final")
    assert before.identity("measure", model="net-a") != after.identity("measure", model="net-a")
    assert before.identity("measure", model="gpt") == after.identity("measure", model="gpt")
