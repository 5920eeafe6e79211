"""The study at its published scale loads, is consistent, and is as large as it says."""

from __future__ import annotations

import pytest

from convergent.ops.plan import estimate
from convergent.study import Study


@pytest.fixture(scope="module")
def study(repository) -> Study:
    return Study.load(repository / "config/paper.yaml")


def test_it_has_no_mistakes_and_plans_more_than_a_hundred_thousand_jobs(study, repository):
    assert Study.mistakes(repository / "config/paper.yaml") == []
    total = estimate(study).total
    layers = sum(
        len(model.layers) * len(model.checkpoints) * len(study.datasets_of(model.key))
        for model in study.models.values()
    )
    assert total.layers == layers > 60_000
    # weights, extraction and fits, tables of models and families, and what they share
    weights = sum(len(model.checkpoints) for model in study.models.values() if not model.is_control)
    shared = 2 + 16 + 2 + 2 + bool(study.config.convergence)
    assert total.jobs == 2 * layers + weights + len(study.models) + len(study.families) + shared
    assert total.jobs > 100_000


def test_every_model_has_a_data_set_of_eight_subjects(study):
    assert all(len(data.subjects) == 8 for data in study.config.datasets.values())
    assert all(len(study.datasets_of(key)) == 1 for key in study.models)


def test_both_modalities_have_baselines_twins_benchmarks_and_a_training(study):
    published = {(score.model, score.benchmark) for score in study.published}
    for modality, benchmarks in study.config.performance.benchmarks.items():
        models = [model for model in study.models.values() if model.modality == modality]
        assert any(model.is_control for model in models)
        assert any(check.role == "random" for model in models for check in model.checkpoints)
        for benchmark in benchmarks:
            scored = [model for model in models if (model.key, benchmark) in published]
            assert len(scored) > 5, benchmark
    assert sum(model.has_trajectory for model in study.models.values()) >= 5


def test_what_models_have_in_common_is_made_once(study):
    layers = [model.layers for model in study.models.values()]
    assert len({id(each) for each in layers}) < len(set(layers)) + 1
    assert study.families is study.families and study.paths is study.paths
