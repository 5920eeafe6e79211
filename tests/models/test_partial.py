"""Loading what some layers need: the same outputs, fewer bytes, and whole where it must be."""

import json
import re

import pytest
import timm
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from convergent.errors import WeightsError
from convergent.models import load, make_manifest
from convergent.models.state import needed, prune
from small_weights import (
    FEW,
    LANGUAGE,
    SMALL,
    add_tokenizer,
    config_of,
    language_row,
    pixels,
    read_layer,
    save_language,
    text,
)


def both(model, layer, **arguments):
    checkpoint = model.checkpoints[0]
    manifest = make_manifest(model, checkpoint)
    whole = load(model, checkpoint, manifest, **arguments)
    part = load(model, checkpoint, manifest, layers=[layer], **arguments)
    return whole, part


def check(model, layer, inputs, **arguments):
    whole, part = both(model, layer, **arguments)
    assert torch.equal(read_layer(whole, layer, inputs), read_layer(part, layer, inputs))
    assert part.reading.whole == ""
    assert 0 < part.reading.bytes < part.reading.total
    return part


@pytest.mark.parametrize("name", LANGUAGE)
def test_a_transformers_layer_is_the_same_from_part_of_the_weights(name, make_model, tmp_path):
    save_language(name, tmp_path)
    layer = LANGUAGE[name][1]
    part = check(language_row(make_model, tmp_path), layer, text)
    assert part.reading.bytes < 0.75 * part.reading.total
    later = re.sub(r"1$", "3", layer)
    with pytest.raises((KeyError, RuntimeError, AttributeError)):
        read_layer(part, later, text)


def test_bytes_read_are_those_of_the_tensors_that_the_layer_needs(make_model, tmp_path):
    save_language("Llama", tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    wanted = re.compile(r"(model\.)?(embed_tokens|layers\.[01]\.)")
    expected = sum(tensor.nbytes for name, tensor in state.items() if wanted.match(name))
    _, part = both(language_row(make_model, tmp_path), "layers.1")
    assert part.reading.bytes == expected
    assert part.reading.total == sum(tensor.nbytes for tensor in state.values())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_is_the_same_from_part_of_the_weights(precision, make_model, tmp_path):
    save_language("Llama", tmp_path)
    part = check(language_row(make_model, tmp_path, precision=precision), "layers.1", text)
    assert part.module.layers[0].mlp.up_proj.weight.dtype == getattr(torch, precision)
    # positions in half precision would be another model
    assert part.module.rotary_emb.inv_freq.dtype == torch.float32


def test_sharded_weights_and_heads_with_a_prefix_are_read_in_part(make_model, tmp_path):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config_of("GPTNeoX"))
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    add_tokenizer(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    check(language_row(make_model, tmp_path), "layers.1", text)


def test_pickles_of_tensors_are_mapped_and_used_in_part(make_model, tmp_path):
    save_language("OPT", tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    check(language_row(make_model, tmp_path), "decoder.layers.1", text)


def test_weights_that_transformers_converts_are_converted_in_part_too(make_model, tmp_path):
    """Experts are stored one by one and computed stacked."""
    sizes = {**FEW, "num_local_experts": 4, "num_experts_per_tok": 2}
    torch.manual_seed(0)
    model = transformers.MixtralModel(transformers.MixtralConfig(**sizes))
    model.save_pretrained(tmp_path)
    add_tokenizer(tmp_path)
    whole, part = both(language_row(make_model, tmp_path), "layers.1")
    expected = read_layer(whole, "layers.1", text)
    assert torch.equal(expected, read_layer(part, "layers.1", text))


@pytest.mark.parametrize("tower", ["vision", "language"])
def test_a_tower_of_clip_leaves_the_other_in_the_file(tower, make_model, tmp_path):
    own = {key: SMALL[key] for key in list(SMALL)[:3]} | {"intermediate_size": 48}
    config = transformers.CLIPConfig(
        text_config={**own, "vocab_size": 99, "eos_token_id": 2, "bos_token_id": 1},
        vision_config={**own, "image_size": 32, "patch_size": 8},
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    add_tokenizer(tmp_path)
    row = {"modality": tower, "layout": "tokens", "reference": f"path:{tmp_path}"}
    if tower == "vision":
        row["preprocessing"] = {"size": "32", "mean": "0.5", "std": "0.5"}
    model = make_model(source="transformers", **row)
    layer = f"{'vision' if tower == 'vision' else 'text'}_model.encoder.layers.1"
    part = check(model, layer, pixels if tower == "vision" else text)
    assert part.reading.bytes < 0.4 * part.reading.total


TIMM = {
    "resnet10t": ("layer2", {}),
    "rexnet_100": ("features.8", {"size": "64"}),
    "vit_tiny_patch16_224": ("blocks.3", {"img_size": "32", "size": "32"}),
    "swin_tiny_patch4_window7_224": ("layers.1.blocks.0", {}),
    "convnext_atto": ("stages.1", {"size": "32"}),
    "mobilenetv3_small_050": ("blocks.2", {"size": "32"}),
    "mixer_s32_224": ("blocks.2", {}),
    "mambaout_femto": ("stages.1", {"size": "64"}),
    "eva02_tiny_patch14_224": ("blocks.3", {}),
}


@pytest.mark.parametrize("name", TIMM)
def test_a_timm_layer_is_the_same_from_part_of_the_weights(name, make_model, tmp_path):
    layer, options = TIMM[name]
    torch.manual_seed(1)
    own = {"img_size": 32} if "img_size" in options else {}
    network = timm.create_model(name, **own)
    for buffer in network.buffers():  # running statistics that are not the initial ones
        if buffer.is_floating_point() and buffer.ndim == 1:
            buffer.uniform_(0.5, 1.5)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    model = make_model(architecture=name, reference=f"path:{tmp_path}", preprocessing={**options})
    part = check(model, layer, pixels)
    assert any(parameter.is_meta for parameter in part.module.parameters())
    assert not any(buffer.is_meta for buffer in part.module.buffers())


def test_a_head_that_the_row_leaves_out_is_left_in_the_file(make_model, tmp_path):
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "model.safetensors")
    row = {"architecture": "resnet10t", "reference": f"path:{tmp_path}"}
    check(make_model(**row, preprocessing={"num_classes": "0"}), "layer1", pixels)


def test_weights_that_timm_converts_by_value_are_read_whole(make_model, tmp_path):
    """A patch projection that is stored as a flat matrix."""
    torch.manual_seed(1)
    state = dict(timm.create_model("vit_tiny_patch16_224").state_dict())
    name = "patch_embed.proj.weight"
    state[name] = state[name].flatten(1).contiguous()
    state["pre_logits.fc.weight"] = torch.zeros(1)
    save_file(state, tmp_path / "model.safetensors")
    model = make_model(architecture="vit_tiny_patch16_224", reference=f"path:{tmp_path}")
    whole, part = both(model, "blocks.1")
    assert "is converted" in part.reading.whole
    assert torch.equal(read_layer(whole, "blocks.1", pixels), read_layer(part, "blocks.1", pixels))


def test_copies_by_position_are_read_whole(make_model, tmp_path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "weights.pth")
    model = make_model(
        architecture="resnet10t",
        reference=f"path:{tmp_path}",
        preprocessing={"weights": "in_order"},
    )
    _, part = both(model, "layer1")
    assert part.reading.whole == "copied in order"
    assert part.reading.bytes == part.reading.total


@pytest.mark.parametrize(
    ("modality", "layer", "inputs"),
    [
        ("vision", "visual.transformer.resblocks.1", pixels),
        ("language", "transformer.resblocks.1", text),
    ],
)
def test_an_open_clip_tower_leaves_the_other_in_the_file(
    modality, layer, inputs, make_model, tmp_path
):
    from open_clip.model import CLIP

    settings = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 4, "width": 64, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2,
                     "layers": 4},
    }  # fmt: skip
    torch.manual_seed(0)
    save_file(CLIP(**settings).state_dict(), tmp_path / "open_clip_model.safetensors")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings}))
    model = make_model(source="open_clip", modality=modality, reference=f"path:{tmp_path}")
    part = check(model, layer, inputs)
    assert part.module.visual.transformer.resblocks[3].attn.in_proj_weight.is_meta


def test_a_pass_that_touches_what_was_left_out_is_an_error(make_model, tmp_path):
    save_file(timm.create_model("resnet10t").state_dict(), tmp_path / "model.safetensors")
    model = make_model(architecture="resnet10t", reference=f"path:{tmp_path}")
    _, part = both(model, "layer1")
    with pytest.raises((RuntimeError, NotImplementedError)):
        part.forward(pixels(part))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.unused, self.last = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
        self.last.weight = self.first.weight
        self.register_parameter("shift", nn.Parameter(torch.zeros(2)))

    def forward(self, x):
        return self.last(self.first(x) + self.shift)


def test_needed_are_touched_tensors_under_all_their_names():
    with torch.device("meta"):
        module = Tied()
    wanted = needed(module, lambda: module(torch.zeros(1, 2, device="meta")), ["first"])
    assert wanted == {"shift", "first.weight", "first.bias", "last.weight"}
    assert prune(module, wanted) == ["unused"]
    with pytest.raises(RuntimeError, match="'unused' was left out"):
        module.unused(torch.zeros(1, 2))


def test_what_cannot_be_traced_says_why():
    class Looks(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    with torch.device("meta"):
        module = nn.Sequential(Looks(2, 2), nn.Linear(2, 2))
    run = lambda: module(torch.zeros(1, 2, device="meta"))  # noqa: E731
    assert "the pass needs data" in needed(module, run, ["1"])
    assert needed(module, run, ["2"]) == "there is no module '2'"
    with torch.device("meta"):
        module = Tied()
    run = lambda: module(torch.zeros(1, 2, device="meta"))  # noqa: E731
    assert needed(module, run, ["unused"]) == "module 'unused' did not run"


def test_a_layer_that_does_not_run_is_loaded_whole(make_model, tmp_path):
    save_language("Bert", tmp_path)
    _, part = both(language_row(make_model, tmp_path), "no.such.layer")
    assert part.reading.whole == "there is no module 'no.such.layer'"


@pytest.mark.parametrize("layers", [None, ["layers.1"]])
def test_weights_of_another_width_than_the_configuration_are_refused(layers, make_model, tmp_path):
    save_language("Llama", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "intermediate_size": 64}))
    model = language_row(make_model, tmp_path)
    manifest = make_manifest(model, model.checkpoints[0])
    with pytest.raises(
        WeightsError, match=r"mlp.*' has shape .*48.*, the configuration needs .*64"
    ):
        load(model, model.checkpoints[0], manifest, layers=layers)


@pytest.mark.parametrize("layers", [None, ["layers.1"]])
def test_a_parameter_that_a_layer_needs_and_the_file_lacks_is_named(layers, make_model, tmp_path):
    save_language("Llama", tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    name = next(key for key in state if key.endswith("layers.0.mlp.up_proj.weight"))
    del state[name]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model = language_row(make_model, tmp_path)
    with pytest.raises(WeightsError, match=r"1 parameters are not in the weights.*up_proj"):
        load(model, model.checkpoints[0], make_manifest(model, model.checkpoints[0]), layers=layers)


def test_a_shard_that_changes_after_it_was_recorded_is_named(make_model, tmp_path):
    torch.manual_seed(0)
    transformers.AutoModel.from_config(config_of("Llama")).save_pretrained(
        tmp_path, max_shard_size="20KB"
    )
    add_tokenizer(tmp_path)
    model = language_row(make_model, tmp_path)
    manifest = make_manifest(model, model.checkpoints[0])
    shard = tmp_path / manifest.weight_files[1]
    content = bytearray(shard.read_bytes())
    content[-3] ^= 1
    shard.write_bytes(content)
    with pytest.raises(WeightsError, match=rf"content of '.*{shard.name}' has changed"):
        load(model, model.checkpoints[0], manifest, layers=["layers.0"])
    shard.write_bytes(content[:-40])
    with pytest.raises(WeightsError, match=rf"'.*{shard.name}' has \d+ bytes"):
        load(model, model.checkpoints[0], manifest, layers=["layers.0"])
    with pytest.raises(WeightsError, match=rf"'{shard.name}' is damaged"):
        make_manifest(model, model.checkpoints[0])
