"""The committed tables of vision models and open_clip's towers."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from convergent.models import Options, source
from convergent.study.rows import read_models, read_performance
from convergent.study.types import Model, Performance

TABLES = Path(__file__).parents[2] / "config" / "models"
NAMES = ("timm", "open_clip_image", "open_clip_text")
MAIN = {
    "timm": "imagenet_top1",
    "open_clip_image": "imagenet_zeroshot_top1",
    "open_clip_text": "imagenet_zeroshot_top1",
}
Read = tuple[dict[str, Model], list[Performance]]


@pytest.fixture(scope="module")
def tables() -> dict[str, Read]:
    read = {}
    for name in NAMES:
        errors: list = []
        models, wrong = read_models(TABLES, (f"{name}.tsv",), (), errors)
        scores = read_performance(TABLES, (f"{name}_performance.tsv",), models, wrong, errors)
        assert errors == []
        read[name] = models, scores
    return read


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_keys_are_unique_over_all_tables(tables):
    errors: list = []
    files = tuple(f"{name}.tsv" for name in NAMES)
    models, _ = read_models(TABLES, files, (), errors)
    assert errors == []
    assert len(models) == sum(len(own) for own, _ in tables.values()) > 1300
    # Keys are names of files, and some file systems do not tell cases apart.
    assert len({key.lower() for key in models}) == len(models)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_plausible(tables, name):
    for model in tables[name][0].values():
        assert 2.5e5 < model.parameters < 6e9, model.key
        assert 4 <= len(model.layers) <= 200, model.key
        assert all(3 <= layer.width <= 30_000 for layer in model.layers), model.key
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.reference), model.key
        assert re.fullmatch(r"([0-9a-f]{40})?", model.revision), model.key
        assert model.tags, model.key
        Options(model, source(model.source).options)


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_its_main_score_with_a_source(tables, name):
    models, scores = tables[name]
    main = [score for score in scores if score.benchmark == MAIN[name]]
    assert {score.model for score in main} == set(models)
    for score in scores:
        assert 0 <= score.score <= 100
        assert re.fullmatch(r"\w+\.csv of [\w-]+/[\w-]+@[0-9a-f]{40}/\w+", score.source)


@pytest.mark.parametrize("name", NAMES)
def test_no_weights_are_listed_twice(tables, name):
    models = tables[name][0]
    assert len({model.reference for model in models.values()}) == len(models)


def test_families_are_lineages_and_not_models(tables):
    families = {model.family for model in tables["timm"][0].values()}
    assert 60 < len(families) < 130
    sizes = {
        family: sum(model.family == family for model in tables["timm"][0].values())
        for family in ("resnet", "resnext", "regnet", "efficientnet", "vit", "deit", "swin")
    }
    assert min(sizes.values()) >= 8


def test_models_that_saw_coco_are_tagged(tables):
    vision = tables["timm"][0] | tables["open_clip_image"][0]
    coco = {model.key for model in vision.values() if "coco" in model.tags}
    assert "eva02_large_patch14_448.mim_m38m_ft_in22k_in1k" in coco
    assert "coca_ViT-L-14.mscoco_finetuned_laion2b_s13b_b90k" in coco
    assert "beit3_base_patch16_224.in22k_ft_in1k" in coco
    assert not {key for key in coco if "resnet" in key}
    for model in vision.values():
        assert not {"coco", "coco-unknown"} <= set(model.tags), model.key
        if model.source == "open_clip":
            assert {"coco", "coco-unknown"} & set(model.tags), model.key


def test_parameters_are_those_of_the_figures(tables, shared_data):
    figures = shared_data / "performance"
    published = {
        row["model"]: float(row["param_count"].replace(",", ""))
        for row in rows_of(figures / "timm_imagenet.csv")
    }
    for model in tables["timm"][0].values():
        assert model.parameters / 1e6 == pytest.approx(published[model.key], abs=0.006)
    profile = {row["model"]: row for row in rows_of(figures / "openclip_model_profile.csv")}
    for name, column in (("image", "image_mparams"), ("text", "text_mparams")):
        for model in tables[f"open_clip_{name}"][0].values():
            name_of = model.architecture.removesuffix("-quickgelu")
            expected = float(profile[name_of if name_of in profile else model.architecture][column])
            assert model.parameters / 1e6 == pytest.approx(expected, abs=0.006)
