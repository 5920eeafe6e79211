"""Networks of transformers on the meta device, from tables and from the hub's configurations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from convergent.errors import ModelError, UnknownKeyError
from convergent.models.inspect import inspect
from convergent.study.rows import read_models
from convergent.zoo import check_tables, sketch

ROOT = Path(__file__).parents[2]
LANGUAGE = ROOT / "config" / "models" / "language.tsv"


@pytest.fixture(scope="module")
def rows():
    errors = []
    models, _ = read_models(LANGUAGE.parent, (LANGUAGE.name,), (), errors)
    assert errors == []
    return models


def saved(directory, config):
    config.save_pretrained(directory)
    return directory


@pytest.mark.parametrize("key", ["smollm2-135m", "bert-l2-h128", "pythia-14m", "deberta-v3-xsmall"])
def test_a_row_is_sketched_from_the_file_beside_its_table(rows, key, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where the command runs does not matter
    model = rows[key]
    network = sketch(model)
    assert network.parameters == model.parameters
    assert all(parameter.is_meta for parameter in network.module.parameters())
    found = {item.path: item.axes.width for item in inspect(network).candidates}
    blocks = [layer for layer in model.layers if layer.name.rpartition(".")[2].isdigit()]
    assert len(blocks) >= 2
    assert {layer.name: layer.width for layer in blocks}.items() <= found.items()


def test_the_check_finds_what_is_wrong_in_a_row(rows, tmp_path):
    lines = [line for line in LANGUAGE.read_text().splitlines() if not line.startswith("#")]
    row = next(line for line in lines if line.startswith("pythia-14m\t"))
    (tmp_path / "transformers").symlink_to(LANGUAGE.parent / "transformers")
    table = tmp_path / "language.tsv"

    def mistakes(*changes):
        text = row
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        table.write_text(f"{lines[0]}\n{text}\n")
        return [str(error) for error in check_tables([table]).errors]

    assert mistakes() == []
    (error,) = mistakes((f"\t{rows['pythia-14m'].parameters}\t", "\t14067712\t"))
    assert "parameters: 14,067,712 in the table, 7,628,800 in the network" in error
    (error,) = mistakes(("layers.{0-5}", "layers.{0-6}"))
    assert "layer 'layers.6'" in error
    assert len(mistakes(("\t128\t", "\t256\t"))) == 8
    (error,) = mistakes(("layers.{0-5};final_layer_norm", "final_layer_norm;layers.{0-5}"))
    assert "order of layers" in error


def test_a_hub_directory_says_what_to_build(rows, tmp_path):
    from transformers import GPT2Config

    config = GPT2Config(n_embd=16, n_layer=3, n_head=2, vocab_size=50, n_positions=32)
    network = sketch(rows["gpt2"], saved(tmp_path, config))
    found = {item.path: item.axes.width for item in inspect(network).candidates}
    assert {f"h.{index}": 16 for index in range(3)}.items() <= found.items()


@pytest.mark.parametrize("modality", ["vision", "language"])
def test_a_dual_encoder_runs_the_tower_of_the_modality(rows, tmp_path, modality):
    from transformers import CLIPConfig

    config = CLIPConfig(
        text_config={"hidden_size": 12, "intermediate_size": 16, "num_hidden_layers": 2,
                     "num_attention_heads": 2, "vocab_size": 50, "projection_dim": 8},
        vision_config={"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 3,
                       "num_attention_heads": 2, "image_size": 32, "patch_size": 8,
                       "projection_dim": 8},
        projection_dim=8,
    )  # fmt: skip
    model = replace(rows["gpt2"], modality=modality)
    found = inspect(sketch(model, saved(tmp_path, config))).candidates
    tower, number = {"vision": ("vision_model", 3), "language": ("text_model", 2)}[modality]
    blocks = [item.path for item in found if item.kind == "block"]
    assert blocks == [f"{tower}.encoder.layers.{index}" for index in range(number)]


def test_images_of_twice_the_side_have_four_times_the_tokens(rows, tmp_path):
    from transformers import ViTConfig

    config = ViTConfig(hidden_size=16, intermediate_size=16, num_hidden_layers=2,
                       num_attention_heads=2, image_size=32, patch_size=8)  # fmt: skip
    model = replace(rows["gpt2"], modality="vision")
    found = inspect(sketch(model, saved(tmp_path, config))).candidates
    block = next(item for item in found if item.kind == "block")
    assert (block.axes.layout, block.axes.width, block.axes.prefix) == ("tokens", 16, 1)


def test_a_network_that_nothing_describes_is_refused(rows, tmp_path):
    with pytest.raises(ModelError, match="nothing says what network this is"):
        sketch(replace(rows["gpt2"], architecture=""))
    with pytest.raises(UnknownKeyError, match="did you mean 'gpt2-xl'"):
        sketch(replace(rows["gpt2"], architecture="gpt2-xxl"))
    with pytest.raises(ModelError, match="no configuration that can be read"):
        sketch(rows["gpt2"], tmp_path)


def test_code_of_a_repository_is_never_run(rows, tmp_path):
    canary = tmp_path / "canary"
    (tmp_path / "config.json").write_text(
        '{"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}'
    )
    (tmp_path / "own.py").write_text(f"open({str(canary)!r}, 'w')\n")
    with pytest.raises(ModelError, match="no configuration that can be read"):
        sketch(rows["gpt2"], tmp_path)
    assert not canary.exists()
