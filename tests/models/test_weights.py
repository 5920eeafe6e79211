"""Manifests over plain files: nothing here needs a deep-learning library."""

from dataclasses import replace
from pathlib import Path

import pytest

from convergent.errors import WeightsError
from convergent.models import WeightsManifest, check_distinct, load, make_manifest, verify
from convergent.models._files import choose_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def weights(tmp_path):
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "w" / "config.json").write_text("{}")
    (tmp_path / "w" / "README.md").write_text("not part of the model")
    return tmp_path / "w"


def manifest_of(make_model, directory, which=0, **columns):
    model = make_model(reference=f"path:{directory}", **columns)
    return make_manifest(model, model.checkpoints[which])


def test_manifest_survives_writing_and_reading(make_model, weights, tmp_path):
    manifest = manifest_of(make_model, weights)
    manifest.write(tmp_path / "deep" / "final.json")
    assert WeightsManifest.read(tmp_path / "deep" / "final.json") == manifest
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["final.json"]
    assert [(file.name, file.role) for file in manifest.files] == [
        ("config.json", "config"),
        ("model.safetensors", "weights"),
    ]
    assert manifest.bytes == len(b"weights")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "weights"}', '{"kind": "other"}'])
def test_damaged_manifest_is_named(content, tmp_path):
    (tmp_path / "m.json").write_text(content)
    with pytest.raises(WeightsError, match=r"m\.json: not a readable weights manifest"):
        WeightsManifest.read(tmp_path / "m.json")


def test_hash_is_of_contents_not_of_names(make_model, weights, tmp_path):
    first = manifest_of(make_model, weights)
    (weights / "model.safetensors").rename(weights / "other.safetensors")
    assert manifest_of(make_model, weights).sha256 == first.sha256
    (weights / "config.json").write_text('{"layers": 2}')
    changed = manifest_of(make_model, weights)
    assert changed.sha256 == first.sha256 and changed.config_sha256 != first.config_sha256


def test_weights_changed_under_the_same_name_are_found(make_model, weights):
    manifest = manifest_of(make_model, weights)
    verify(manifest)
    (weights / "model.safetensors").write_bytes(b"WEIGHTS")
    verify(manifest, full=False)  # of the same size
    with pytest.raises(WeightsError, match="content of .*model.safetensors.* has changed"):
        verify(manifest)
    model = make_model(reference=f"path:{weights}")
    with pytest.raises(WeightsError, match="has changed"):
        load(model, model.checkpoints[0], manifest)
    (weights / "model.safetensors").write_bytes(b"more weights")
    with pytest.raises(WeightsError, match="12 bytes, 7 were recorded"):
        verify(manifest, full=False)
    (weights / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="is missing"):
        verify(manifest)


def test_manifest_of_another_checkpoint_is_refused(make_model, weights):
    model = make_model(reference=f"path:{weights}")
    manifest = make_manifest(model, model.checkpoints[0])
    with pytest.raises(WeightsError, match="belongs to model 'tiny', checkpoint 'final'"):
        load(model, model.checkpoints[1], manifest)
    with pytest.raises(WeightsError, match="no weights manifest"):
        load(model, model.checkpoints[0], None)


def test_same_weights_under_two_names_are_an_error(make_model, weights):
    manifest = manifest_of(make_model, weights)
    check_distinct([manifest, manifest])
    check_distinct([manifest, replace(manifest, model="text tower", modality="language")])
    with pytest.raises(WeightsError, match="checkpoint 'step2': the same weights as .*'final'"):
        check_distinct([manifest, replace(manifest, checkpoint="step2")])


def test_random_weights_are_identified_by_architecture_and_seed(make_model, weights):
    model = make_model(reference=f"path:{weights}")
    seeds = [replace(model.checkpoints[1], seed=seed) for seed in (0, 0, 1)]
    a, b, c = (make_manifest(model, checkpoint).sha256 for checkpoint in seeds)
    assert a == b != c
    assert make_manifest(model, seeds[0]).weight_files == ()
    with pytest.raises(WeightsError, match="without a seed"):
        make_manifest(model, replace(seeds[0], seed=None))


def test_safetensors_are_preferred():
    names = ["pytorch_model.bin", "model.safetensors", "a.gguf", "config.json"]
    preferred = ("model.safetensors", "pytorch_model.bin")
    assert choose_weights(names, preferred, "", "m") == ["model.safetensors"]
    assert choose_weights(names, preferred, "a.gguf", "m") == ["a.gguf"]
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert choose_weights([*shards, "x.bin"], preferred, "", "m") == shards
    with pytest.raises(WeightsError, match="several weight files"):
        choose_weights(["a.pt", "b.pt"], preferred, "", "m")
    with pytest.raises(WeightsError, match="no weight files"):
        choose_weights(["config.json"], preferred, "", "m")
    with pytest.raises(WeightsError, match=r"'c\.pt' is missing.*a\.pt, b\.pt"):
        choose_weights(["a.pt", "b.pt"], preferred, "c.pt", "m")


def test_single_file_is_a_reference_too(make_model, weights):
    (weights / "epoch_9.pt").write_bytes(b"tensors")
    manifest = manifest_of(make_model, weights / "epoch_9.pt")
    assert manifest.weight_files == ("epoch_9.pt",)


def test_trained_models_need_their_training(make_model, weights, tmp_path):
    model = make_model(reference="trained:cnn")
    manifest = make_manifest(model, model.checkpoints[0], trained_dir=weights)
    assert Path(manifest.directory) == weights
    for nothing in (None, tmp_path / "nothing"):
        with pytest.raises(WeightsError, match="has not been trained yet"):
            make_manifest(model, model.checkpoints[0], trained_dir=nothing)


def test_hub_weights_must_be_pinned(make_model):
    model = make_model(reference="timm/resnet18.a1_in1k")
    with pytest.raises(WeightsError, match="pinned commit"):
        make_manifest(model, model.checkpoints[0])


@pytest.mark.parametrize("download", [True, False])
def test_offline_miss_names_repository_and_commit(download, make_model, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = make_model(reference="nobody/nothing-at-all")
    checkpoint = replace(model.checkpoints[0], revision=COMMIT)
    with pytest.raises(
        WeightsError, match=r"'final': commit 0123456789ab of 'nobody/nothing-at-all' is not in"
    ):
        make_manifest(model, checkpoint, allow_download=download)


def test_cached_commit_is_read_offline(make_model, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--owner--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    (snapshot / "config.json").write_text("{}")
    model = make_model(reference="owner/name")
    manifest = make_manifest(model, replace(model.checkpoints[0], revision=COMMIT))
    assert (manifest.revision, manifest.directory) == (COMMIT, str(snapshot))


def test_only_the_preferred_weights_are_downloaded(make_model, monkeypatch, tmp_path):
    import huggingface_hub

    asked = {}

    def download(repository, *, revision, allow_patterns, local_files_only):
        asked.update(repository=repository, patterns=allow_patterns, local=local_files_only)
        place = tmp_path / revision
        place.mkdir(exist_ok=True)
        for name in allow_patterns:
            (place / name).write_bytes(name.encode())
        return str(place)

    names = ["README.md", "config.json", "pytorch_model.bin", "model.safetensors", "onnx/m.onnx"]
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *a, **k: names)
    model = make_model(reference="owner/name")
    trained, random = (replace(c, revision=COMMIT) for c in model.checkpoints)
    make_manifest(model, trained, allow_download=True)
    assert asked == {
        "repository": "owner/name",
        "patterns": ["config.json", "model.safetensors"],
        "local": False,
    }
    make_manifest(model, random, allow_download=True)
    assert asked["patterns"] == ["config.json"]


def test_another_commit_than_asked_for_is_refused(make_model, monkeypatch, tmp_path):
    import huggingface_hub

    (tmp_path / "fedcba").mkdir()
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *a, **k: str(tmp_path / "fedcba")
    )
    model = make_model(reference="owner/name")
    with pytest.raises(WeightsError, match="asked for commit 0123456789ab .* got 'fedcba'"):
        make_manifest(model, replace(model.checkpoints[0], revision=COMMIT))


def test_controls_have_a_manifest_without_files(make_model):
    model = make_model(source="baseline", reference="pixels", preprocessing={"size": "4"})
    other = make_model(source="baseline", reference="pixels", preprocessing={"size": "8"})
    first, second = (make_manifest(m, m.checkpoints[0]) for m in (model, other))
    assert first.files == () and first.sha256 != second.sha256
