"""Manifests over plain files: nothing here needs a deep-learning library."""

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from convergent.errors import WeightsError
from convergent.models import WeightsManifest, check_distinct, load, make_manifest, verify
from convergent.models.manifest import choose_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def weights(tmp_path, write_tensors):
    (tmp_path / "w").mkdir()
    write_tensors(tmp_path / "w" / "model.safetensors", b"weights")
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
    assert manifest.bytes == (weights / "model.safetensors").stat().st_size


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


def test_weights_changed_under_the_same_name_are_found(make_model, weights, write_tensors):
    file = weights / "model.safetensors"
    manifest = manifest_of(make_model, weights)
    verify(manifest)
    write_tensors(file, b"WEIGHTS")  # of the same size
    with pytest.raises(WeightsError, match="content of .*model.safetensors.* has changed"):
        verify(manifest)
    model = make_model(reference=f"path:{weights}")
    with pytest.raises(WeightsError, match="has changed"):
        load(model, model.checkpoints[0], manifest)
    write_tensors(file, b"more weights")
    with pytest.raises(WeightsError, match="bytes, .* were recorded"):
        verify(manifest)
    file.unlink()
    with pytest.raises(WeightsError, match="is missing"):
        verify(manifest)


def test_files_are_hashed_again_only_if_their_time_changed(make_model, weights, monkeypatch):
    from convergent.models import manifest as _manifest

    hashed = []

    def count(path):
        hashed.append(path.name)
        return hash_file(path)

    hash_file = _manifest.file_sha256
    monkeypatch.setattr(_manifest, "file_sha256", count)
    manifest = manifest_of(make_model, weights)
    verify(manifest)
    assert hashed == []
    os.utime(weights / "model.safetensors", ns=(1, 1))  # a copy: same content, another time
    verify(manifest)
    assert hashed == ["model.safetensors"]
    verify(manifest, full=True)
    assert sorted(hashed[1:]) == ["config.json", "model.safetensors"]


def test_a_change_that_hides_its_time_is_found_by_a_full_check(make_model, weights, write_tensors):
    manifest = manifest_of(make_model, weights)
    before = (weights / "model.safetensors").stat().st_mtime_ns
    write_tensors(weights / "model.safetensors", b"WEIGHTS")
    os.utime(weights / "model.safetensors", ns=(before, before))
    verify(manifest)
    with pytest.raises(WeightsError, match="has changed"):
        verify(manifest, full=True)


def test_manifests_without_times_are_checked_in_full(make_model, weights, tmp_path):
    manifest_of(make_model, weights).write(tmp_path / "m.json")
    content = json.loads((tmp_path / "m.json").read_text())
    for file in content["files"]:
        del file["mtime_ns"]
    (tmp_path / "m.json").write_text(json.dumps(content))
    verify(WeightsManifest.read(tmp_path / "m.json"))


@pytest.mark.parametrize("cut", [-1, 5, 20])
def test_truncated_safetensors_are_found_before_any_job(cut, make_model, weights):
    file = weights / "model.safetensors"
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(WeightsError, match=r"'model\.safetensors'.*damaged.*fetch the file again"):
        manifest_of(make_model, weights)


def test_a_shard_that_is_missing_is_named(make_model, weights, write_tensors):
    (weights / "model.safetensors").unlink()
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = weights / "model.safetensors.index.json"
    write_tensors(weights / names[0], b"first")
    with pytest.raises(WeightsError, match="1 of 2 shards of 'model.safetensors'"):
        manifest_of(make_model, weights)
    write_tensors(weights / names[1], b"second")
    index.write_text(json.dumps({"weight_map": {"x": names[0], "y": "model-3.safetensors"}}))
    with pytest.raises(WeightsError, match="index.json' names 'model-3.safetensors', which is not"):
        manifest_of(make_model, weights)
    index.write_text("{")
    with pytest.raises(WeightsError, match=r"cannot read 'model\.safetensors\.index\.json'"):
        manifest_of(make_model, weights)
    index.write_text(json.dumps({"weight_map": {"x": names[0], "y": names[1]}}))
    assert manifest_of(make_model, weights).weight_files == tuple(names)


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


def test_twins_of_two_models_may_be_the_same_network_but_not_within_one(make_model, weights):
    manifest = manifest_of(make_model, weights, which=1)
    check_distinct([manifest, replace(manifest, model="fine-tuned")])
    with pytest.raises(WeightsError, match="the same weights"):
        check_distinct([manifest, replace(manifest, checkpoint="random-7")])


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


def test_cached_commit_is_read_offline(make_model, monkeypatch, tmp_path, write_tensors):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--owner--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    write_tensors(snapshot / "model.safetensors", b"weights")
    (snapshot / "config.json").write_text("{}")
    model = make_model(reference="owner/name")
    manifest = make_manifest(model, replace(model.checkpoints[0], revision=COMMIT))
    assert (manifest.revision, manifest.directory) == (COMMIT, str(snapshot))


def test_only_the_preferred_weights_are_downloaded(
    make_model, monkeypatch, tmp_path, write_tensors
):
    import huggingface_hub

    asked = {}

    def download(repository, *, revision, allow_patterns, local_files_only=False, dry_run=False):
        if dry_run:
            return []
        asked.update(repository=repository, patterns=allow_patterns, local=local_files_only)
        place = tmp_path / revision
        place.mkdir(exist_ok=True)
        for name in allow_patterns:
            write_tensors(place / name, name.encode())
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


def test_the_cache_may_lie_where_the_study_says(make_model, monkeypatch, tmp_path, write_tensors):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    snapshot = tmp_path / "cache" / "models--owner--name" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    write_tensors(snapshot / "model.safetensors", b"weights")
    model = make_model(reference="owner/name")
    checkpoint = replace(model.checkpoints[0], revision=COMMIT)
    manifest = make_manifest(model, checkpoint, cache=tmp_path / "cache")
    assert manifest.directory == str(snapshot)


@pytest.fixture
def online(monkeypatch, make_model):
    """The weights step, with a hub that fails as it is told."""
    import huggingface_hub

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    names = ["config.json", "model.safetensors"]
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *a, **k: names)
    model = make_model(reference="owner/name")
    checkpoint = replace(model.checkpoints[0], revision=COMMIT)

    def run(error, planned=()):
        def fail(*arguments, dry_run=False, **named):
            if dry_run:
                return planned
            raise error

        monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
        with pytest.raises(WeightsError) as caught:
            make_manifest(model, checkpoint, allow_download=True)
        return str(caught.value)

    return run


def http_error(kind, status):
    from huggingface_hub import errors

    http = http_library()
    response = http.Response(status, request=http.Request("GET", "https://huggingface.co/x"))
    return getattr(errors, kind)("Access denied", response=response)


def http_library():
    from importlib import import_module

    from huggingface_hub import errors

    return import_module(errors.HTTPError.__module__.partition(".")[0])


def test_gated_weights_name_the_licence_and_the_login(online):
    for error in (http_error("GatedRepoError", 403), http_error("HfHubHTTPError", 401)):
        message = online(error)
        assert "'owner/name' is gated or private" in message
        assert "https://huggingface.co/owner/name, then run `hf auth login`" in message


def test_other_failures_of_a_download_say_what_to_do(online):
    lost = http_library().ConnectError("no route to host")
    assert "the hub cannot be reached" in online(lost)
    assert "the disk or quota is full" in online(OSError(errno.ENOSPC, "No space left"))
    assert "the hub has no commit" in online(http_error("RevisionNotFoundError", 404))
    assert "is not available (ValueError: odd)" in online(ValueError("odd"))


def test_weights_that_do_not_fit_on_the_disk_are_not_downloaded(online, monkeypatch):
    import shutil
    from types import SimpleNamespace

    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10e9))
    files = [(6e9, True), (5e9, True), (9e9, False)]
    planned = [SimpleNamespace(file_size=size, will_download=new) for size, new in files]
    message = online(RuntimeError("the download was started"), planned)
    assert "'owner/name' needs 11.0 GB more" in message and "has 10.0 GB" in message


def test_controls_have_a_manifest_without_files(make_model):
    model = make_model(source="baseline", reference="pixels", preprocessing={"size": "4"})
    other = make_model(source="baseline", reference="pixels", preprocessing={"size": "8"})
    first, second = (make_manifest(m, m.checkpoints[0]) for m in (model, other))
    assert first.files == () and first.sha256 != second.sha256
