"""The demo study: its tables are valid, declare what can be built, and suffice as a control."""

from __future__ import annotations

from collections import Counter

import pytest

from convergent.brains import open_dataset
from convergent.study import Study


@pytest.fixture(scope="module")
def study(repository):
    return Study.load(repository / "config" / "demo.yaml")


def test_demo_is_large_enough_to_be_a_control(study):
    models = [model for model in study.models.values() if not model.is_control]
    assert len(models) >= 16
    assert len({model.family for model in models}) >= 5
    assert {model.modality for model in models} == {"vision", "language"}
    per_modality = Counter(model.modality for model in models)
    assert per_modality["vision"] >= 9
    assert per_modality["language"] >= 7
    for model in models:
        if study.trains(model.key):
            steps = [checkpoint.step for checkpoint in model.checkpoints]
            assert len(steps) >= 6
            assert steps[0] == 0
            assert steps == sorted(steps)


def test_datasets_of_the_demo_open(study):
    for name, config in study.config.datasets.items():
        reader = open_dataset(name, config)
        assert reader.simulated
        assert any(row.driven for row in reader.truth())


def test_evaluations_and_recipes_of_the_demo_exist(study):
    from convergent.registry import EVALUATIONS, RECIPES
    from convergent.training import recipe

    assert set(study.config.performance.evaluations) <= set(EVALUATIONS.names())
    named = {name for names in study.config.performance.benchmarks.values() for name in names}
    assert named <= set(EVALUATIONS.names())
    trained = {
        model.reference.split(":")[1] for model in study.models.values() if study.trains(model.key)
    }
    assert trained <= set(RECIPES.names())
    for name, options in study.config.training.items():
        recipe(name).options.model_validate(options)


def test_declared_numbers_of_parameters_are_those_built(study):
    import torch

    from convergent.training import recipe

    for key in ("scenes-cnn-8", "scenes-vit-32", "topics-gpt-32", "topics-llama-64"):
        kind = recipe(study.model(key).reference.split(":")[1])
        with torch.random.fork_rng():
            run = kind.start(study.model(key), kind.options(), "cpu")
        built = sum(parameter.numel() for parameter in run.module.parameters())
        assert built == study.model(key).parameters
