"""Training: it learns, repeats itself byte by byte, and its checkpoints load as any model's."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest

from convergent.brains.simulated import SimulatedScenes, SimulatedSentences
from convergent.errors import ConfigError, NumericalError, TableError, UnknownKeyError
from convergent.extraction import extract
from convergent.models import load, make_manifest
from convergent.registry import RECIPES as REGISTERED
from convergent.training import train
from convergent.training.train import schedule

RECIPES = {
    "scenes-cnn": {"layer1": 4, "layer4": 32},
    "scenes-vit": {"blocks.0": 16, "blocks.2": 16},
    "topics-gpt": {"h.0": 16, "h.2": 16},
    "topics-llama": {"layers.0": 16, "layers.2": 16},
    "topics-neox": {"layers.0": 16, "layers.2": 16},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_checkpoints_load_and_give_features_of_the_declared_width(recipe, small_model, tmp_path):
    model = small_model(recipe, RECIPES[recipe], {"step0": 0, "final": 2})
    record = train(recipe, model, tmp_path, options={"batch_size": 4})
    reader = SimulatedScenes() if model.modality == "vision" else SimulatedSentences()
    found = {}
    for checkpoint in model.checkpoints:
        manifest = make_manifest(model, checkpoint, trained_dir=tmp_path / checkpoint.name)
        loaded = load(model, checkpoint, manifest)
        found[checkpoint.name] = extract(
            model, checkpoint, model.layers, reader.stimuli(), loaded=loaded
        )
    for layer in model.layers:
        before, after = (found[name][layer.name] for name in ("step0", "final"))
        assert before.features.shape == (256, layer.width)
        assert before.truncated == 0
        assert not np.array_equal(before.features, after.features)
    assert record["steps"] == 2
    assert len(record["loss"]) == 2
    assert [item["step"] for item in record["checkpoints"]] == [0, 2]
    assert record["parameters"] == sum(
        parameter.numel() for parameter in loaded.module.parameters()
    ) or (model.modality == "language")  # features need no output embedding
    json.dumps(record)


@pytest.mark.parametrize("recipe", ["scenes-cnn", "topics-llama"])
def test_same_seed_gives_the_same_bytes_and_another_seed_others(recipe, small_model, tmp_path):
    model = small_model(recipe, RECIPES[recipe], {"step0": 0, "final": 3})
    options = {"batch_size": 4}
    first, again, other = (
        train(recipe, model, tmp_path / str(run), seed=seed, options=options)
        for run, seed in enumerate((0, 0, 1))
    )
    assert first["checkpoints"] == again["checkpoints"]
    assert first["loss"] == again["loss"]
    for name in ("step0", "final"):
        for path in (tmp_path / "0" / name).iterdir():
            assert path.read_bytes() == (tmp_path / "1" / name / path.name).read_bytes(), path.name
    assert first["checkpoints"] != other["checkpoints"]


@pytest.mark.parametrize("recipe", ["scenes-cnn", "topics-gpt"])
def test_loss_falls(recipe, small_model, tmp_path):
    model = small_model(recipe, RECIPES[recipe], {"final": 25})
    loss = train(recipe, model, tmp_path, options={"learning_rate": 1e-2})["loss"]
    assert np.mean(loss[-5:]) < np.mean(loss[:5]) - 0.1


def test_an_untrained_classifier_is_at_chance(small_model, tmp_path):
    model = small_model("scenes-vit", RECIPES["scenes-vit"], {"final": 1})
    loss = train("scenes-vit", model, tmp_path)["loss"]
    assert loss[0] == pytest.approx(math.log(16), abs=0.3)


def test_training_leaves_the_global_state_alone(small_model, tmp_path):
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    model = small_model("scenes-cnn", RECIPES["scenes-cnn"], {"final": 1})
    train("scenes-cnn", model, tmp_path, options={"batch_size": 4})
    assert torch.equal(torch.rand(1), expected)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_killed_training_leaves_no_directory_under_a_checkpoints_name(
    small_model, tmp_path, monkeypatch
):
    from convergent.training.vision import SceneRun

    def dies(self, directory):
        (directory / "config.json").write_text("{}")
        raise KeyboardInterrupt

    monkeypatch.setattr(SceneRun, "save", dies)
    model = small_model("scenes-cnn", RECIPES["scenes-cnn"], {"step0": 0, "final": 1})
    with pytest.raises(KeyboardInterrupt):
        train("scenes-cnn", model, tmp_path)
    assert not (tmp_path / "step0").exists()


def test_schedule_warms_up_and_ends_at_zero():
    rates = [schedule(step, 100, 10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(rates[9])
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert all(later <= earlier for earlier, later in pairwise(rates[9:]))


def test_unknown_recipe_suggests_one(small_model, tmp_path):
    model = small_model("scenes-cnn", RECIPES["scenes-cnn"], {"final": 1})
    with pytest.raises(UnknownKeyError, match="scenes-cnn"):
        train("scene-cnn", model, tmp_path)
    assert set(RECIPES) <= set(REGISTERED.names())


def test_misspelt_option_is_refused(small_model, tmp_path):
    model = small_model("scenes-cnn", RECIPES["scenes-cnn"], {"final": 1})
    with pytest.raises(ConfigError, match="learning_rat"):
        train("scenes-cnn", model, tmp_path, options={"learning_rat": 1})


@pytest.mark.parametrize(
    ("steps", "message"),
    [({"step0": None, "final": 1}, "has no step"), ({"a": 1, "final": 1}, "two checkpoints")],
)
def test_checkpoints_need_steps_of_their_own(steps, message, small_model, tmp_path):
    model = small_model("scenes-cnn", RECIPES["scenes-cnn"], steps)
    with pytest.raises(TableError, match=message):
        train("scenes-cnn", model, tmp_path)


def test_width_that_cannot_be_built_is_refused(small_model, tmp_path):
    model = small_model("scenes-vit", {"blocks.0": 20}, {"final": 1})
    with pytest.raises(TableError, match="multiple of 16"):
        train("scenes-vit", model, tmp_path)


def test_diverging_loss_stops_the_training(small_model, tmp_path):
    model = small_model("scenes-vit", RECIPES["scenes-vit"], {"final": 40})
    with pytest.raises(NumericalError, match="lower the learning rate"):
        train("scenes-vit", model, tmp_path, options={"learning_rate": 1e12, "batch_size": 4})
