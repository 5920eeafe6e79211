"""Stores of extraction: the same bytes however a job is cut, in the type asked for."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from convergent.pipeline.data import write_responses, write_stimuli
from convergent.pipeline.extract import extract
from convergent.pipeline.fit import fit
from convergent.pipeline.weights import write_manifests
from convergent.store import open_store
from convergent.study import Study
from convergent.study.types import COUNTED
from workflow_fixtures import CHECKPOINTS, MODELS, _save_tiny_vit


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extract")
    _save_tiny_vit(folder / "vit")
    (folder / "models.tsv").write_text(MODELS.format(vit=folder / "vit"))
    (folder / "checkpoints.tsv").write_text(CHECKPOINTS)
    return folder


@pytest.fixture
def study_of(folder, tmp_path):
    def make(name="a", extraction=None, fitting=None):
        scenes = {
            "reader": "simulated-scenes", "modality": "vision", "design": "items",
            "subjects": ["sim01"], "options": {"seed": 1, "vertices": 1},
        }  # fmt: skip
        config = {
            "study": name,
            "title": "t",
            "results": str(tmp_path),
            "tables": {"models": ["models.tsv"], "checkpoints": ["checkpoints.tsv"]},
            "datasets": {"scenes": scenes},
            "select": {"exclude": ["lengths"]},
            "extraction": extraction or {},
            "fit": {"permutations": 0, "metrics": {"ridge": None}} | (fitting or {}),
        }
        file = folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(config))
        study = Study.load(file)
        write_stimuli(study, "scenes")
        write_manifests(study, "tiny-vit", None)
        return study

    return make


def features(study, layer, checkpoint="final"):
    return study.paths.features("scenes", "tiny-vit", checkpoint, layer)


LAYERS = ("layers.0", "layers.1")


@pytest.mark.parametrize(
    "extraction", [{}, {"memory_gb": 0.001}, {"batch_size": 7}, {"store": "float16"}]
)
def test_layer_jobs_and_checkpoint_jobs_write_the_same_bytes(extraction, study_of):
    study = study_of(extraction=extraction)
    extract(study, "tiny-vit", None, None, None)
    whole = {layer: read(features(study, layer)) for layer in LAYERS}
    for layer in LAYERS:
        extract(study, "tiny-vit", "final", layer, "scenes")
        assert read(features(study, layer)) == whole[layer]


def read(path):
    from pathlib import Path

    return Path(path).read_bytes()


def test_batch_sizes_and_memory_change_no_feature_beyond_rounding(study_of):
    found = []
    for name, extraction in {"a": {}, "b": {"batch_size": 1}, "c": {"memory_gb": 0.001}}.items():
        study = study_of(name, extraction)
        extract(study, "tiny-vit", "final", None, None)
        found.append(open_store(features(study, "layers.1"), "features"))
    for other in found[1:]:
        expected = found[0]["features"]
        np.testing.assert_allclose(
            other["features"], expected, rtol=0, atol=1e-5 * np.abs(expected).max()
        )
        assert other.attrs["identity"] == found[0].attrs["identity"]


def test_half_precision_is_stored_as_asked_and_is_another_identity(study_of):
    full, half = study_of("full"), study_of("half", {"store": "float16"})
    for study in (full, half):
        extract(study, "tiny-vit", "final", "layers.1", None)
    exact, short = (open_store(features(s, "layers.1"), "features") for s in (full, half))
    assert exact["features"].dtype == np.float32
    assert short["features"].dtype == np.float16
    np.testing.assert_array_equal(short["features"], exact["features"].astype(np.float16))
    assert short.attrs["identity"] != exact.attrs["identity"]


def test_what_half_precision_cannot_hold_fails_that_layer_alone(study_of, monkeypatch, caplog):
    import convergent.extraction.passes as network

    pool = network.pool

    def louder(output, **options):
        values = pool(output, **options)
        if not louder.quiet and len(values) > 4:
            values[1] = 7e4  # an input that is not read again
            louder.quiet = True
        return values

    louder.quiet = False  # the first layer of the first batch
    monkeypatch.setattr(network, "pool", louder)
    study = study_of("loud", {"store": "float16"})
    extract(study, "tiny-vit", "final", None, None)
    first, second = (open_store(features(study, layer), "features") for layer in LAYERS)
    assert first.attrs["status"] == "failed" and second.attrs["status"] == "ok"
    assert "features beyond float16 (at most 65504) for 1 of " in first.attrs["reason"]
    assert "extraction.store: float32" in first.attrs["reason"]
    assert "failed" in caplog.text


def test_a_store_says_what_was_checked_and_counted(study_of):
    study = study_of("checked")
    extract(study, "tiny-vit", "final", "layers.1", None)
    attrs = open_store(features(study, "layers.1"), "features").attrs
    found = attrs["selfcheck"]
    assert (found["batch"], found["seed"], found["tolerance"]) == ("padded", None, 1e-5)
    assert 1 <= found["inputs"] <= 5
    assert found["repeat"] == 0.0 and 0.0 <= found["together"] <= 1e-5
    assert tuple(sorted(attrs["counted"])) == tuple(sorted(COUNTED))
    assert attrs["counted"]["stimuli"] > 0 == attrs["counted"]["blank"]


def test_limits_are_part_of_what_a_store_is_made_with(study_of):
    def status(name, limits):
        study = study_of(name, {"limits": limits} if limits else {})
        extract(study, "tiny-vit", "final", "layers.1", None)
        attrs = open_store(features(study, "layers.1"), "features").attrs
        return attrs["identity"], attrs["status"]

    plain, _ = status("plain", {})
    assert status("plain", {"constant": 0.99}) == (plain, "ok")
    assert status("plain", {"constant": 0.5})[0] != plain


def test_precision_of_the_study_replaces_the_rows(study_of):
    study = study_of("bf", {"precision": "bfloat16"})
    extract(study, "tiny-vit", "final", "layers.1", None)
    found = open_store(features(study, "layers.1"), "features")
    assert found.attrs["precision"] == "bfloat16"
    assert found["features"].dtype == np.float32
    plain = study_of("plain")
    extract(plain, "tiny-vit", "final", "layers.1", None)
    exact = open_store(features(plain, "layers.1"), "features")["features"]
    difference = np.abs(found["features"] - exact).max()
    assert 0 < difference < 0.1 * np.abs(exact).max()


def test_fits_compute_with_single_precision_whatever_is_stored(study_of):
    scores = []
    for name, extraction in {"full": {}, "half": {"store": "float16"}}.items():
        study = study_of(name, extraction)
        write_responses(study, "scenes", "sim01")
        extract(study, "tiny-vit", "final", "layers.1", None)
        fit(study, "tiny-vit", "final", "layers.1", "scenes", "sim01")
        path = study.paths.alignment("scenes", "tiny-vit", "final", "layers.1", "sim01")
        scores.append(open_store(path, "alignment")["r"])
    apart = np.abs(scores[0] - scores[1])
    # half precision may decide between two penalties that predict the training data alike
    assert np.quantile(apart, 0.98) < 0.01 and apart.max() < 0.1


def test_components_are_part_of_a_fit_and_change_its_identity(study_of):
    found = []
    for name, fitting in {"plain": {}, "pca": {"pca": 3}}.items():
        study = study_of(name, fitting=fitting)
        write_responses(study, "scenes", "sim01")
        extract(study, "tiny-vit", "final", "layers.1", None)
        fit(study, "tiny-vit", "final", "layers.1", "scenes", "sim01")
        path = study.paths.alignment("scenes", "tiny-vit", "final", "layers.1", "sim01")
        found.append(open_store(path, "alignment"))
    assert found[0].attrs["identity"] != found[1].attrs["identity"]
    assert found[0].attrs["features_identity"] == found[1].attrs["features_identity"]
    assert "pca" not in found[0].attrs["fit"] and found[1].attrs["fit"]["pca"] == 3
    assert np.abs(found[0]["r"] - found[1]["r"]).max() > 0.01
