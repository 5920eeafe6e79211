"""Loading: random twins, wrong architectures, unsafe and incomplete weights."""

import json
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from convergent.errors import DeviceError, ModelError, UnknownKeyError, WeightsError
from convergent.models import load, make_manifest

IMAGES = {"size": "32"}


class Canary:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def opened(model, which=0, **arguments):
    checkpoint = model.checkpoints[which]
    return load(model, checkpoint, make_manifest(model, checkpoint), **arguments)


def same(first, second):
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast

    place = tmp_path_factory.mktemp("bert")
    config = BertConfig(
        vocab_size=8,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    BertForMaskedLM(config).save_pretrained(place)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "mat"]
    (place / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(vocab=dict(zip(words, range(7), strict=True))).save_pretrained(place)
    return place


@pytest.fixture
def bert_row(make_model, bert):
    return make_model(
        source="transformers", modality="language", layout="tokens", reference=f"path:{bert}"
    )


@pytest.mark.parametrize("kind", ["timm", "transformers"])
def test_random_twins_are_equal_for_a_seed_and_leave_the_global_state(kind, make_model, bert_row):
    model = make_model(architecture="resnet10t") if kind == "timm" else bert_row
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = opened(model, 1)
    assert torch.equal(torch.rand(3), expected)
    second = opened(model, 1)
    twin = replace(model.checkpoints[1], seed=1)
    third = load(model, twin, make_manifest(model, twin))
    assert same(first.module, second.module) and not same(first.module, third.module)
    assert not first.module.training
    assert not any(parameter.requires_grad for parameter in first.module.parameters())


def test_random_twin_has_the_tokenizer_and_shapes_of_the_trained_model(bert_row):
    trained, random = opened(bert_row, 0), opened(bert_row, 1)
    assert random.text.encode(["cat mat"]) == trained.text.encode(["cat mat"])
    shapes = [{k: v.shape for k, v in m.module.state_dict().items()} for m in (trained, random)]
    assert shapes[0] == shapes[1] and not same(trained.module, random.module)


def test_missing_pooler_is_noted_and_anything_else_is_an_error(bert_row, bert, tmp_path):
    loaded = opened(bert_row)
    assert loaded.fresh and all("pooler" in name for name in loaded.fresh)
    for file in bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    state = load_file(bert / "model.safetensors")
    name = next(key for key in state if "layer.1.output.dense.weight" in key)
    del state[name]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"1 parameters are not in the weights.*layer\.1"):
        opened(replace(bert_row, reference=f"path:{tmp_path}"))


def test_sharded_weights_are_one_checkpoint(bert_row, bert, tmp_path):
    from transformers import AutoModel, AutoTokenizer

    whole = AutoModel.from_pretrained(bert)
    whole.save_pretrained(tmp_path, max_shard_size="2KB")
    AutoTokenizer.from_pretrained(bert).save_pretrained(tmp_path)
    model = replace(bert_row, reference=f"path:{tmp_path}")
    manifest = make_manifest(model, model.checkpoints[0])
    assert len(manifest.weight_files) > 1
    assert same(load(model, model.checkpoints[0], manifest).module, whole)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_model_spread_over_gpus_never_falls_back_to_the_cpu(bert_row):
    with pytest.raises(DeviceError, match="do not fit on the GPUs of this machine: 0 with"):
        opened(replace(bert_row, preprocessing={"device_map": "auto"}))


def test_malicious_pickle_is_refused_by_transformers_too(bert_row, bert, tmp_path):
    for file in bert.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({"x": Canary(tmp_path / "canary")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="more than tensors"):
        opened(replace(bert_row, reference=f"path:{tmp_path}"))
    assert not (tmp_path / "canary").exists()


def test_code_of_a_repository_is_never_run(bert_row, bert, tmp_path):
    for file in bert.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((bert / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w')")
    with pytest.raises(WeightsError, match="need no own code"):
        opened(replace(bert_row, reference=f"path:{tmp_path}"))
    assert not (tmp_path / "canary").exists()


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    place = tmp_path_factory.mktemp("resnet")
    torch.manual_seed(0)
    network = timm.create_model("resnet10t")
    save_file(network.state_dict(), place / "model.safetensors")
    return place, network


def test_timm_reads_an_architecture_and_a_file(make_model, resnet):
    place, network = resnet
    row = {"architecture": "resnet10t", "reference": f"path:{place}"}
    assert same(opened(make_model(**row)).module, network)
    headless = opened(make_model(**row, preprocessing={"num_classes": "0"})).module
    assert not any(name.startswith("fc.") for name in headless.state_dict())
    assert torch.equal(headless.conv1[0].weight, network.conv1[0].weight)


def test_timm_reads_in_order(make_model, resnet, tmp_path):
    _, network = resnet
    renamed = {f"p{i:03d}": value for i, value in enumerate(network.state_dict().values())}
    torch.save(
        {k: v for k, v in renamed.items() if v.ndim},  # without batch counters
        tmp_path / "weights.pth",
    )
    row = {"architecture": "resnet10t", "reference": f"path:{tmp_path}"}
    with pytest.raises(WeightsError, match="missing"):
        opened(make_model(**row))
    model = make_model(**row, preprocessing={"weights": "in_order"})
    assert same(opened(model).module, network)
    other = replace(model, architecture="resnet14t")
    with pytest.raises(WeightsError, match="tensors in the file"):
        opened(other)


def test_unknown_or_contradicting_architecture_is_refused(make_model, resnet, tmp_path):
    place, _ = resnet
    with pytest.raises(UnknownKeyError, match=r"no architecture 'resnet10'.*did you mean"):
        opened(make_model(architecture="resnet10", reference=f"path:{place}"))
    (tmp_path / "model.safetensors").write_bytes((place / "model.safetensors").read_bytes())
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet10t"}))
    with pytest.raises(ModelError, match="weights are of 'resnet10t'"):
        opened(make_model(architecture="resnet18.a1", reference=f"path:{tmp_path}"))


def test_unknown_precision_is_refused(make_model, resnet):
    model = make_model(architecture="resnet10t", reference=f"path:{resnet[0]}", precision="int8")
    with pytest.raises(ModelError, match="unknown precision 'int8'"):
        opened(model)
