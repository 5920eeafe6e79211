"""Layers of many architectures equal a plain pass with a hook placed by hand.

Each network is built by its own library, small, with random weights larger than usual so that
every block matters; saved as hubs do; read by the engine; and run here once more without it.
"""

import json

import numpy as np
import open_clip
import pytest
import timm
import torch
import transformers
from safetensors.torch import save_file

from convergent.extraction import extract
from convergent.study.config import ExtractionLimits

MEAN = {
    "tokens": lambda x: x.mean(1),
    "channels_first": lambda x: x.mean((2, 3)),
    "channels_last": lambda x: x.mean((1, 2)),
    "vector": lambda x: x,
}
CNN, LAST, TOKENS = "channels_first", "channels_last", "tokens"
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 2}

# architecture: constructor arguments, layer, width, layout
TIMM = {
    "vit_tiny_patch16_224": (VIT, "blocks.1", 24, TOKENS),
    "vit_base_patch16_clip_quickgelu_224": (VIT, "blocks.1", 24, TOKENS),
    "deit_tiny_distilled_patch16_224": (VIT, "blocks.1", 24, TOKENS),
    "beit_base_patch16_224": (VIT, "blocks.1", 24, TOKENS),
    "eva02_tiny_patch14_224": (VIT, "blocks.1", 24, TOKENS),
    "cait_xxs24_224": (VIT, "blocks.1", 24, TOKENS),
    "xcit_nano_12_p8_224": (VIT, "blocks.1", 24, TOKENS),
    "mixer_s32_224": ({"img_size": 64}, "blocks.1", 512, TOKENS),
    "resmlp_12_224": ({"img_size": 32}, "blocks.1", 384, TOKENS),
    "swin_tiny_patch4_window7_224": (
        {"img_size": 32, "window_size": 4, "embed_dim": 12, "depths": (1, 1, 1),
         "num_heads": (2, 2, 2)},
        "layers.1", 24, LAST,
    ),
    "swinv2_tiny_window8_256": (
        {"img_size": 32, "window_size": 4, "embed_dim": 12, "depths": (1, 1), "num_heads": (2, 2)},
        "layers.0.blocks.0", 12, LAST,
    ),
    "mambaout_femto": ({"depths": (1, 1), "dims": (12, 20)}, "stages.1", 20, LAST),
    "hiera_tiny_224": (
        {"img_size": (64, 64), "embed_dim": 16, "num_heads": 1, "stages": (1, 1, 1, 1)},
        "blocks.1", 32, TOKENS,
    ),
    "convnext_atto": (
        {"depths": (1, 1, 1, 1), "dims": (12, 20, 24, 24)}, "stages.1", 20, CNN,
    ),
    "efficientnet_b0": ({}, "blocks.1", 24, CNN),
    "tf_efficientnet_lite0": ({}, "blocks.2", 40, CNN),
    "resnet18": ({}, "layer2", 128, CNN),
    "resnet26d": ({}, "layer2.0", 512, CNN),
    "seresnet18": ({}, "layer1", 64, CNN),
    "mobilenetv2_050": ({}, "blocks.2", 16, CNN),
    "mobilenetv3_small_050": ({}, "blocks.2", 24, CNN),
    "regnetx_002": ({}, "s2", 56, CNN),
    "densenet121": ({"block_config": (2, 2)}, "features.denseblock1", 128, CNN),
    "ghostnet_050": ({}, "blocks.2", 12, CNN),
    "poolformer_s12": ({}, "stages.1", 128, CNN),
    "pvt_v2_b0": (
        {"depths": (1, 1), "embed_dims": (16, 24), "num_heads": (1, 2), "sr_ratios": (2, 1),
         "mlp_ratios": (2, 2), "linear": False},
        "stages.1", 24, CNN,
    ),
    "edgenext_xx_small": ({}, "stages.1", 48, CNN),
}  # fmt: skip

SMALL = {
    "vocab_size": 300, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 0,
    "eos_token_id": 0,
}  # fmt: skip
ROPE = SMALL | {"num_key_value_heads": 1, "head_dim": 8}

# kind of configuration: arguments, layer
LANGUAGE = {
    "Bert": (SMALL, "encoder.layer.1"),
    "Roberta": (SMALL | {"pad_token_id": 1}, "encoder.layer.1"),
    "Electra": (SMALL | {"embedding_size": 16}, "encoder.layer.1"),
    "DistilBert": (SMALL | {"dim": 16, "n_layers": 3, "n_heads": 2, "hidden_dim": 24},
                   "transformer.layer.1"),
    "MPNet": (SMALL | {"pad_token_id": 1}, "encoder.layer.1"),
    "DebertaV2": (SMALL, "encoder.layer.1"),
    "ModernBert": (SMALL | {"cls_token_id": 0, "sep_token_id": 0}, "layers.1"),
    "GPT2": (SMALL | {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64}, "h.1"),
    "GPTNeo": (SMALL | {"num_layers": 3, "num_heads": 2,
                        "attention_types": [[["global", "local", "global"], 1]]}, "h.1"),
    "GPTNeoX": (SMALL, "layers.1"),
    "GPTJ": (SMALL | {"n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64,
                      "rotary_dim": 4}, "h.1"),
    "OPT": (SMALL | {"ffn_dim": 24, "word_embed_proj_dim": 16, "pad_token_id": 1},
            "decoder.layers.1"),
    "Bloom": (SMALL | {"n_layer": 3, "n_head": 2}, "h.1"),
    "Llama": (ROPE, "layers.1"),
    "Mistral": (ROPE, "layers.1"),
    "Qwen2": (ROPE, "layers.1"),
    "Qwen3": (ROPE, "layers.1"),
    "Gemma": (ROPE, "layers.1"),
    "Gemma2": (ROPE, "layers.1"),
    "Gemma3Text": (ROPE, "layers.1"),
    "Phi": (SMALL, "layers.1"),
    "Phi3": (ROPE, "layers.1"),
    "Olmo2": (ROPE, "layers.1"),
    "StableLm": (ROPE, "layers.1"),
    "T5": (SMALL | {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 3, "num_heads": 2,
                    "decoder_start_token_id": 0}, "encoder.block.1"),
}  # fmt: skip

VISION = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 3,
          "num_attention_heads": 2, "intermediate_size": 24}  # fmt: skip
SEEING = {
    "ViT": (VISION, "layers.1", 16, TOKENS),
    "Dinov2": (VISION, "encoder.layer.1", 16, TOKENS),
    "CLIPVision": (VISION, "encoder.layers.1", 16, TOKENS),
    "SiglipVision": (VISION, "encoder.layers.1", 16, TOKENS),
    "ConvNext": ({"hidden_sizes": [8, 12], "depths": [1, 1], "num_stages": 2, "image_size": 32},
                 "encoder.stages.1", 12, CNN),
    "ResNet": ({"hidden_sizes": [8, 12], "depths": [1, 1], "embedding_size": 8,
                "layer_type": "basic"}, "encoder.stages.1", 12, CNN),
}  # fmt: skip

TOWER = {"image_size": 32, "layers": 3, "width": 64, "patch_size": 8}
CLIP_TEXT = {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3}
# tower of vision, layer, width, layout
CLIPS = {
    "vit": (TOWER, "visual.transformer.resblocks.1", 64, TOKENS),
    "resnet": ({"image_size": 32, "layers": [1, 1, 1, 1], "width": 16}, "visual.layer2", 128, CNN),
    "convnext": (
        {"image_size": 64, "timm_model_name": "convnext_atto", "timm_pool": "",
         "timm_proj": "linear"},
        "visual.trunk.stages.0", 40, CNN,
    ),
}  # fmt: skip


def shaken(network):
    """Weights of ordinary size everywhere: no block is nearly the identity."""
    generator = torch.Generator().manual_seed(5)
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
        noise = torch.randn(parameter.shape, generator=generator) / fan_in**0.5
        parameter.data.copy_(noise if parameter.ndim > 1 else parameter.data + noise)
    return network.eval()


def caught(network, path, call):
    outputs = []
    handle = network.get_submodule(path).register_forward_hook(
        lambda module, arguments, output: outputs.append(output)
    )
    with torch.no_grad():
        call()
    handle.remove()
    return outputs[0][0] if isinstance(outputs[0], tuple) else outputs[0]


def assert_equal_to_rounding(features, expected):
    expected = np.asarray(expected)
    scale = np.abs(expected).max()
    assert expected.std(axis=0).max() > 1e-3 * scale  # stimuli differ
    np.testing.assert_allclose(features, expected, rtol=0, atol=1e-5 * scale)


def read(model, open_model, stimuli):
    loaded = open_model(model)
    limits = ExtractionLimits(truncated=0.5)  # a byte a token: long sentences are cut
    options = {"loaded": loaded, "batch_size": 3, "limits": limits}
    (result,) = extract(model, model.checkpoints[0], model.layers, stimuli, **options).values()
    assert result.status == "ok", result.reason
    return result.features, loaded


@pytest.mark.parametrize("name", sorted(TIMM))
def test_timm(name, tmp_path, make_model, open_model, scenes):
    arguments, path, width, layout = TIMM[name]
    network = shaken(timm.create_model(name, num_classes=7, **arguments))
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    size = 64 if "img_size" not in arguments else np.max(arguments["img_size"]).item()
    card = {
        "architecture": name,
        "num_classes": 7,
        "model_args": arguments,
        "pretrained_cfg": {"input_size": [3, size, size], "mean": [0.5] * 3, "std": [0.25] * 3},
    }
    (tmp_path / "config.json").write_text(json.dumps(card))
    row = {"modality": "vision", "source": "timm", "layout": layout, "pooling": "mean"}
    model = make_model(
        {path: width}, reference=f"path:{tmp_path}", preprocessing={"size": str(size)}, **row
    )
    features, loaded = read(model, open_model, scenes)
    pixels = loaded.images(scenes.images)
    output = caught(network, path, lambda: network(pixels))
    assert_equal_to_rounding(features, MEAN[layout](output))


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={t: i + 2 for i, t in enumerate(letters)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=60)


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("kind", sorted(LANGUAGE))
def test_language_models_of_transformers(
    kind, pooling, tmp_path, tokenizer, make_model, open_model, sentences
):
    arguments, path = LANGUAGE[kind]
    config = getattr(transformers, f"{kind}Config")(**arguments)
    network = shaken(transformers.AutoModel.from_config(config, attn_implementation="eager"))
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = make_model({path: 16}, reference=f"path:{tmp_path}", pooling=pooling)
    features, _ = read(model, open_model, sentences)
    call, expected = network, []
    if kind == "T5":
        call = network.get_encoder()
    for text in sentences.texts:  # one a pass: no padding
        ids = torch.tensor([tokenizer(text)["input_ids"][:60]])
        output = caught(network, path, lambda ids=ids: call(input_ids=ids))
        output = output.reshape(-1, 16)
        expected.append(output.mean(0).numpy() if pooling == "mean" else output[-1].numpy())
    assert_equal_to_rounding(features, expected)


@pytest.mark.parametrize("kind", sorted(SEEING))
def test_vision_models_of_transformers(kind, tmp_path, make_model, open_model, scenes):
    arguments, path, width, layout = SEEING[kind]
    config = getattr(transformers, f"{kind}Config")(**arguments)
    network = shaken(transformers.AutoModel.from_config(config))
    network.save_pretrained(tmp_path)
    options = {"size": "32", "mean": "0.5", "std": "0.25"}
    row = {"modality": "vision", "layout": layout, "preprocessing": options}
    model = make_model({path: width}, reference=f"path:{tmp_path}", **row)
    features, loaded = read(model, open_model, scenes)
    pixels = loaded.images(scenes.images)
    output = caught(network, path, lambda: network(pixel_values=pixels))
    assert_equal_to_rounding(features, MEAN[layout](output))


def open_clip_directory(place, tower):
    settings = {"embed_dim": 8, "vision_cfg": tower, "text_cfg": CLIP_TEXT}
    network = shaken(open_clip.CLIP(**settings))
    save_file(network.state_dict(), place / "open_clip_model.safetensors")
    (place / "open_clip_config.json").write_text(json.dumps({"model_cfg": settings}))
    return network


@pytest.mark.parametrize("name", sorted(CLIPS))
def test_image_towers_of_open_clip(name, tmp_path, make_model, open_model, scenes):
    tower, path, width, layout = CLIPS[name]
    network = open_clip_directory(tmp_path, tower)
    row = {"source": "open_clip", "modality": "vision", "layout": layout}
    model = make_model({path: width}, reference=f"path:{tmp_path}", **row)
    features, loaded = read(model, open_model, scenes)
    pixels = loaded.images(scenes.images)
    output = caught(network, path, lambda: network.encode_image(pixels))
    assert_equal_to_rounding(features, MEAN[layout](output))


def test_text_tower_of_open_clip(tmp_path, make_model, open_model, sentences):
    network, path = open_clip_directory(tmp_path, TOWER), "transformer.resblocks.1"
    model = make_model({path: 64}, source="open_clip", reference=f"path:{tmp_path}")
    features, _ = read(model, open_model, sentences)
    ids = open_clip.tokenize(list(sentences.texts))
    output = caught(network, path, lambda: network.encode_text(ids))
    ends = ids.argmax(1) + 1  # the end token has the largest id
    expected = [row[:end].mean(0).numpy() for row, end in zip(output, ends, strict=True)]
    assert_equal_to_rounding(features, expected)


def test_clip_of_transformers(tmp_path, tokenizer, make_model, open_model, sentences, scenes):
    config = transformers.CLIPConfig(text_config=SMALL, vision_config=VISION, projection_dim=12)
    network = shaken(transformers.AutoModel.from_config(config))
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    image, text = "vision_model.encoder.layers.1", "text_model.encoder.layers.1"
    options = {"size": "32", "mean": "0.5", "std": "0.25"}
    seeing = make_model(
        {image: 16}, modality="vision", reference=f"path:{tmp_path}", preprocessing=options
    )
    features, loaded = read(seeing, open_model, scenes)
    pixels = loaded.images(scenes.images)
    output = caught(network, image, lambda: network.get_image_features(pixel_values=pixels))
    assert_equal_to_rounding(features, output.mean(1))
    reading = make_model({text: 16}, reference=f"path:{tmp_path}")
    features, _ = read(reading, open_model, sentences)
    expected = []
    for line in sentences.texts:
        ids = torch.tensor([tokenizer(line)["input_ids"][:60]])
        output = caught(network, text, lambda ids=ids: network.get_text_features(input_ids=ids))
        expected.append(output[0].mean(0).numpy())
    assert_equal_to_rounding(features, expected)


def test_there_are_at_least_forty():
    assert len(TIMM) + len(LANGUAGE) + len(SEEING) + len(CLIPS) + 2 >= 40
