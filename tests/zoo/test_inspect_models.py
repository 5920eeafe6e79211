"""Known networks: what a person reads in their papers and code is what inspection finds."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from convergent.cli import main
from convergent.errors import LayerError, UnknownKeyError, WeightsError
from convergent.models.inspect import inspect
from convergent.study.rows import read_models
from convergent.zoo import compress_braces, resolve, sketch
from convergent.zoo.propose import Proposal, propose
from convergent.zoo.resolve import propose_for, stub

RESNET_50 = "maxpool;layer1.{0-2};layer2.{0-3};layer3.{0-5};layer4.{0-2}"
# name: parameters, layers, layout, tokens to skip, first and last width
TRUTH = {
    "resnet50": (25_557_032, RESNET_50, "channels_first", 0, 64, 2048),
    "vit_base_patch16_224": (
        86_567_656, "norm_pre;blocks.{0-11};norm", "tokens", 1, 768, 768,
    ),
    "deit_tiny_distilled_patch16_224": (
        5_910_800, "norm_pre;blocks.{0-11};norm", "tokens", 2, 192, 192,
    ),
    "swin_tiny_patch4_window7_224": (
        28_288_354,
        "patch_embed;layers.{0-1}.blocks.{0-1};layers.2.blocks.{0-5};layers.3.blocks.{0-1};norm",
        "channels_last", 0, 96, 768,
    ),
    "convnext_tiny": (
        28_589_128,
        "stem;stages.{0-1}.blocks.{0-2};stages.2.blocks.{0-8};stages.3.blocks.{0-2};head.norm",
        "channels_first", 0, 96, 768,
    ),
    "mambaout_tiny": (
        26_545_096,
        "stem;stages.{0-1}.blocks.{0-2};stages.2.blocks.{0-8};stages.3.blocks.{0-2}",
        "channels_last", 0, 96, 576,
    ),
    "mixer_b16_224": (59_880_472, "stem;blocks.{0-11};norm", "tokens", 0, 768, 768),
    "efficientnet_b0": (
        5_288_548,
        "bn1;blocks.0.0;blocks.{1-2}.{0-1};blocks.{3-4}.{0-2};blocks.5.{0-3};blocks.6.0;bn2",
        "channels_first", 0, 32, 1280,
    ),
    "mobilenetv3_large_100": (
        5_483_032,
        "bn1;blocks.0.0;blocks.1.{0-1};blocks.2.{0-2};blocks.3.{0-3};blocks.4.{0-1};"
        "blocks.5.{0-2};blocks.6",
        "channels_first", 0, 16, 960,
    ),
    "regnety_002": (
        3_162_996, "stem;s{1-2}.b1;s3.b{1-4};s4.b{1-7}", "channels_first", 0, 32, 368,
    ),
    "vgg11": (132_863_336, "features.{2,5,7,10,12,15,17,20}", "channels_first", 0, 64, 512),
    "pvt_v2_b0": (3_666_760, "stages.{0-3}.blocks.{0-1}", "tokens", 0, 32, 256),
    "levit_128s": (
        7_777_058,
        "stages.0.blocks.{0-1};stages.1.blocks.{0-2};stages.2.blocks.{0-3}",
        "tokens", 0, 128, 384,
    ),
}  # fmt: skip


def layers_of(found: Proposal) -> str:
    return compress_braces(found.layers)


@pytest.mark.parametrize("name", TRUTH)
def test_layers_layout_widths_and_parameters_of_a_network_of_timm(name: str) -> None:
    parameters, layers, layout, skip, first, last = TRUTH[name]
    found = propose_for(stub("timm", name))
    assert layers_of(found) == layers
    assert (found.parameters, found.layout, found.skip) == (parameters, layout, skip)
    assert (found.widths[0], found.widths[-1]) == (first, last)
    assert found.options == ({"skip_tokens": str(skip)} if skip else {})


def test_both_towers_of_clip_are_read_apart() -> None:
    image = propose_for(stub("open_clip", "ViT-B-32"))
    assert layers_of(image) == "visual.ln_pre;visual.transformer.resblocks.{0-11};visual.ln_post"
    assert (image.parameters, image.layout, image.skip) == (87_849_216, "tokens", 1)
    text = propose_for(stub("open_clip", "ViT-B-32", modality="language"))
    assert layers_of(text) == "token_embedding;transformer.resblocks.{0-11};ln_final"
    assert (text.parameters, set(text.widths), text.skip) == (63_428_096, {512}, 0)


def test_blocks_that_give_no_tensor_are_refused_by_name() -> None:
    with pytest.raises(LayerError, match=r"'blocks\.0': it returns tuple of 2"):
        propose_for(stub("timm", "tnt_s_patch16_224"))


def test_a_mixture_of_layouts_lists_the_common_one_and_notes_the_other() -> None:
    found = propose_for(stub("timm", "vit_small_r26_s32_224"))
    assert layers_of(found) == "blocks.{0-11};norm"
    assert (found.layout, found.skip) == ("tokens", 1)
    assert found.notes == "not listed: 8 blocks, channels_first"


def test_a_folder_in_the_hubs_layout_says_what_it_is_of(tmp_path: Path) -> None:
    config = {"architecture": "resnet18", "num_classes": 10, "pretrained_cfg": {"num_classes": 10}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model, directory = resolve(str(tmp_path))
    assert (model.source, directory) == ("timm", tmp_path)
    found = propose_for_folder(model, directory)
    assert found.parameters == 11_689_512 - 990 * 513
    assert layers_of(found) == "maxpool;layer{1-4}.{0-1}"


def propose_for_folder(model, directory) -> Proposal:
    network = sketch(model, directory)
    return propose(inspect(network), network.parameters)


def test_a_folder_of_open_clip_is_read_with_its_own_sizes(tmp_path: Path) -> None:
    text = {"context_length": 20, "vocab_size": 100, "width": 32, "heads": 2, "layers": 3}
    vision = {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8}
    content = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    model, directory = resolve(f"path:{tmp_path}", modality="language")
    assert model.source == "open_clip"
    found = propose_for_folder(model, directory)
    assert layers_of(found) == "token_embedding;transformer.resblocks.{0-2};ln_final"
    assert set(found.widths) == {32}


def test_the_command_proposes_a_row_that_the_study_reads(monkeypatch, capsys, tmp_path) -> None:
    arguments = ["convergent", "models", "inspect", "timm/resnet18.a1_in1k"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit):
        main()
    out = capsys.readouterr().out
    assert "layer1.0" in out and "BasicBlock" in out and "the same tensor as 'layer1.1'" in out
    (tmp_path / "models.tsv").write_text("\n".join(out.splitlines()[-2:]) + "\n")
    errors: list = []
    models, _ = read_models(tmp_path, ("models.tsv",), (), errors)
    assert errors == []
    (model,) = models.values()
    assert (model.key, model.family, model.reference) == (
        "resnet18.a1_in1k",
        "resnet",
        "timm/resnet18.a1_in1k",
    )
    assert [layer.width for layer in model.layers] == [64, 64, 64, 128, 128, 256, 256, 512, 512]


@pytest.mark.parametrize(
    ("reference", "says"),
    [("resnet5O", "did you mean 'resnet50'"), ("tag:x", "cannot be inspected")],
)
def test_an_unknown_name_is_refused_with_the_closest(reference: str, says: str) -> None:
    with pytest.raises(UnknownKeyError, match=says):
        resolve(reference)


def test_a_hub_id_that_is_not_cached_is_not_downloaded(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="not in the local cache"):
        resolve("nobody/nothing-of-this-name")


def test_a_hub_id_of_timm_needs_no_cache() -> None:
    model, directory = resolve("timm/resnet50.a1_in1k")
    assert (model.architecture, model.reference) == ("resnet50.a1_in1k", "timm/resnet50.a1_in1k")
    assert directory is None
