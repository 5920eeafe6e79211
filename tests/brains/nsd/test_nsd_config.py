"""The study of config/nsd.yaml, as far as it can be checked without data or weights."""

from __future__ import annotations

import pytest

from convergent.brains import open_dataset
from convergent.errors import ConfigError
from convergent.study import Study


@pytest.fixture(scope="module")
def study(repository) -> Study:
    return Study.load(repository / "config/nsd.yaml")


def test_the_study_asks_for_the_agreement_and_takes_all_subjects(study):
    for name in ("nsd", "nsd-captions"):
        section = study.config.datasets[name]
        with pytest.raises(ConfigError, match="naturalscenesdataset.org"):
            open_dataset(name, section)
        signed = section.model_copy(update={"options": section.options | {"agreement": "accepted"}})
        assert open_dataset(name, signed).subjects() == section.subjects


def test_images_and_captions_differ_in_nothing_but_the_captions(study):
    images, captions = (study.config.datasets[name].options for name in ("nsd", "nsd-captions"))
    assert {**images, "captions": "mean"} == captions


def test_there_are_baselines_of_both_modalities(study):
    controls = {model.modality for model in study.models.values() if model.is_control}
    assert controls == {"vision", "language"}


def test_performance_may_be_measured_by_several_benchmarks(study):
    found = study.config.performance.benchmarks
    assert found["vision"] == ("imagenet_top1", "imagenet_zeroshot_top1")
    assert found["language"] == ("open_llm_average",)
    published = {score.benchmark for score in study.published}
    assert {*found["vision"], *found["language"]} <= published


def test_some_families_have_random_twins(study):
    twins = [check for model in study.models.values() for check in model.checkpoints
             if check.role == "random"]  # fmt: skip
    assert len(twins) > 100
