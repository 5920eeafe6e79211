"""Code of a repository: never run, unless the row pins it."""

import json
from dataclasses import replace

import pytest
import torch

from convergent.errors import ModelError, WeightsError
from convergent.models import load, make_manifest
from small_weights import add_tokenizer, text

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CODE = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel


class OwnConfig(PreTrainedConfig):
    model_type = "own-{name}"


class OwnModel(PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config):
        super().__init__(config)
        self.embed = torch.nn.Embedding(8, 4)
        self.post_init()

    def forward(self, input_ids, attention_mask=None):
        open({canary!r}, "w").close()
        return self.embed(input_ids) + {shift}
"""


@pytest.fixture
def own(make_model, monkeypatch, tmp_path):
    """A cached commit of a repository with code."""
    from safetensors.torch import save_file

    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache))
    place = cache / "models--owner--own" / "snapshots" / COMMIT
    place.mkdir(parents=True)
    config = {
        "model_type": f"own-{tmp_path.name}",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"},
    }
    (place / "config.json").write_text(json.dumps(config))
    code = CODE.format(name=tmp_path.name, canary=str(tmp_path / "canary"), shift=1)
    (place / "own.py").write_text(code)
    save_file({"embed.weight": torch.arange(32.0).reshape(8, 4)}, place / "model.safetensors")
    add_tokenizer(place)
    model = make_model(
        source="transformers", modality="language", layout="tokens", reference="owner/own"
    )
    checkpoint = replace(model.checkpoints[0], revision=COMMIT)
    return replace(model, preprocessing={"remote_code": COMMIT}), checkpoint, place, tmp_path


def test_pinned_code_runs_offline_from_its_snapshot(own):
    model, checkpoint, _, folder = own
    manifest = make_manifest(model, checkpoint)
    assert "own.py" in [file.name for file in manifest.files]
    loaded = load(model, checkpoint, manifest, layers=["embed"])
    assert "code of the repository" in loaded.reading.whole
    ids = loaded.text.encode(["cat"])[0].ids
    output = loaded.forward(text(loaded))
    assert torch.equal(output[1, : len(ids)], torch.arange(32.0).reshape(8, 4)[[2, 6, 3]] + 1)
    assert (folder / "canary").exists()


def test_code_is_refused_without_the_option(own):
    model, checkpoint, _, folder = own
    model = replace(model, preprocessing={})
    with pytest.raises(WeightsError, match="need no own code"):
        load(model, checkpoint, make_manifest(model, checkpoint))
    assert not (folder / "canary").exists()


@pytest.mark.parametrize("commit", ["main", "yes", "f" * 40])
def test_code_must_be_pinned_to_the_commit_of_the_weights(commit, own):
    model, checkpoint, _, _ = own
    model = replace(model, preprocessing={"remote_code": commit})
    with pytest.raises(ModelError, match="is not the commit of the weights"):
        load(model, checkpoint, make_manifest(model, checkpoint))


def test_changed_code_is_refused_whatever_its_time(own):
    import os

    model, checkpoint, place, _ = own
    manifest = make_manifest(model, checkpoint)
    time = (place / "own.py").stat().st_mtime_ns
    (place / "own.py").write_text((place / "own.py").read_text().replace("+ 1", "+ 2"))
    os.utime(place / "own.py", ns=(time, time))
    with pytest.raises(WeightsError, match=r"content of .*own\.py' has changed"):
        load(model, checkpoint, manifest)


def test_code_of_another_repository_or_a_local_directory_is_refused(own):
    model, checkpoint, place, _ = own
    local = replace(model, reference=f"path:{place.parent}/../x")
    (place.parent.parent / "x").mkdir()
    for file in place.iterdir():
        (place.parent.parent / "x" / file.name).write_bytes(file.read_bytes())
    there = replace(checkpoint, reference=local.reference)
    with pytest.raises(ModelError, match="is for pinned hub repositories"):
        load(local, there, make_manifest(local, there))
    config = json.loads((place / "config.json").read_text())
    config["auto_map"]["AutoModel"] = "someone/else--own.OwnModel"
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="points at code of another repository"):
        load(model, checkpoint, make_manifest(model, checkpoint))
    config["auto_map"]["AutoModel"] = "absent.OwnModel"
    (place / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="needs 'absent.OwnModel', whose file is not"):
        load(model, checkpoint, make_manifest(model, checkpoint))
