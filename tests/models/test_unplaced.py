"""Weights that a network has no place for are refused; heads and computed buffers are not."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from convergent.errors import LayerError, WeightsError
from convergent.models import load, make_manifest
from convergent.models.manifest import choose_weights
from small_weights import FEW, LANGUAGE, SMALL, add_tokenizer, config_of, language_row


def saved(model, place):
    model.save_pretrained(place)
    add_tokenizer(place)
    return place


def llama(place, head=False, **options):
    kind = transformers.LlamaForCausalLM if head else transformers.LlamaModel
    return saved(kind(transformers.LlamaConfig(**FEW, **options)), place)


def reconfigure(place, **changes):
    path = place / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def add(place, tensors):
    state = load_file(place / "model.safetensors") | tensors
    save_file(state, place / "model.safetensors", metadata={"format": "pt"})


def opened(make_model, place, layers=None, **options):
    model = language_row(make_model, place, **options)
    checkpoint = model.checkpoints[0]
    return load(model, checkpoint, make_manifest(model, checkpoint), layers=layers)


@pytest.mark.parametrize("layers", [None, ["layers.0"]])
@pytest.mark.parametrize("head", [False, True])
@pytest.mark.parametrize(
    ("options", "changes", "first"),
    [
        ({"attention_bias": True}, {"attention_bias": False}, "self_attn.k_proj.bias"),
        ({"mlp_bias": True}, {"mlp_bias": False}, "mlp.down_proj.bias"),
        ({}, {"num_hidden_layers": 3}, "layers.3.input_layernorm.weight"),
    ],
)
def test_weights_beyond_the_configuration_are_refused(
    options, changes, first, head, layers, make_model, tmp_path
):
    llama(tmp_path, head, **options)
    opened(make_model, tmp_path, layers)
    reconfigure(tmp_path, **changes)
    with pytest.raises(WeightsError, match=rf"no place in the network.*first: \S*{first}\)"):
        opened(make_model, tmp_path, layers)


def test_norms_of_another_architecture_are_refused(make_model, tmp_path):
    saved(transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**FEW, head_dim=16)), tmp_path)
    reconfigure(tmp_path, model_type="llama", architectures=["LlamaForCausalLM"])
    with pytest.raises(WeightsError, match=r"8 parameters.*k_norm"):
        opened(make_model, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "layers.0.self_attn.q_proj.lora_A.default.weight",
        "base_model.model.layers.0.self_attn.q_proj.lora_A.weight",
        "layers.1.mlp.gate_proj.weight_scale",
        "another_norm.weight",
    ],
)
def test_tensors_that_nothing_explains_are_refused(name, make_model, tmp_path):
    llama(tmp_path)
    add(tmp_path, {name: torch.ones(4, 4)})
    with pytest.raises(WeightsError, match="1 parameters of the weights have no place"):
        opened(make_model, tmp_path)


@pytest.mark.parametrize("layers", [None, "first"])
@pytest.mark.parametrize(
    "kind", ["Bert", "Roberta", "GPT2", "GPTNeoX", "Llama", "Gemma2", "OPT", "T5"]
)
def test_heads_of_other_tasks_are_left_out(kind, layers, make_model, tmp_path):
    config = config_of(kind)
    auto = {"Bert": "ForPreTraining", "Roberta": "ForMaskedLM", "GPT2": "LMHeadModel"}
    auto |= {"T5": "ForConditionalGeneration"}
    saved(getattr(transformers, kind + auto.get(kind, "ForCausalLM"))(config), tmp_path)
    read = None if layers is None else [LANGUAGE[kind][1]]
    assert opened(make_model, tmp_path, read).module


def test_what_constructors_compute_may_be_in_the_file(make_model, tmp_path):
    llama(tmp_path, head=True)
    below = "model.layers.0.self_attn."
    computed = {
        "bias": torch.ones(1, 1, 8, 8, dtype=torch.bool),
        "masked_bias": torch.tensor(-1e9),
        "rotary_emb.inv_freq": torch.ones(4),
    }
    add(tmp_path, {below + name: value for name, value in computed.items()})
    assert opened(make_model, tmp_path).module
    # a real bias of that name is no mask
    add(tmp_path, {"model.layers.1.self_attn.bias": torch.ones(96)})
    with pytest.raises(WeightsError, match=r"layers\.1\.self_attn\.bias"):
        opened(make_model, tmp_path)


@pytest.mark.parametrize("layer", ["pooler", "pooler.dense", "pooler.activation"])
def test_layers_that_follow_from_untrained_parameters_are_refused(layer, make_model, tmp_path):
    saved(transformers.BertForMaskedLM(transformers.BertConfig(**SMALL)), tmp_path)
    assert opened(make_model, tmp_path, ["encoder.layer.3"]).module
    with pytest.raises(LayerError, match=r"pooler\.dense\.\w+' is not in the weights"):
        opened(make_model, tmp_path, [layer])


@pytest.mark.parametrize("alone", [False, True])
def test_an_adapter_is_refused(alone, make_model, tmp_path):
    llama(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    save_file({"a.lora_A.weight": torch.ones(2, 2)}, tmp_path / "adapter_model.safetensors")
    if alone:
        (tmp_path / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"'adapter_config\.json' is an adapter.*merge it"):
        opened(make_model, tmp_path)


def test_weights_that_are_there_twice_are_listed():
    preferred = ("model.safetensors", "pytorch_model.bin")
    old = [f"model-0000{k}-of-00002.safetensors" for k in (1, 2)]
    with pytest.raises(WeightsError, match=r"'model\.safetensors' and 2 of 2 shards"):
        choose_weights([*old, "model.safetensors"], preferred, "", "m")
    new = [f"model-0000{k}-of-00003.safetensors" for k in (1, 2, 3)]
    with pytest.raises(WeightsError, match="2 of 2 shards .* and 3 of 3 shards"):
        choose_weights([*old, *new], preferred, "", "m")


def test_the_file_that_was_hashed_is_the_one_that_is_read(make_model, tmp_path):
    llama(tmp_path)
    other = tmp_path / "other.safetensors"
    other.write_bytes((tmp_path / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"reads 'model\.safetensors'.*not 'other\.safetensors'"):
        opened(make_model, other)
