"""Vision and language layers for the same stimuli: joined by id, compared without bias."""

from __future__ import annotations

import types

import numpy as np
import polars as pl
import pytest

from convergent.errors import ConfigError
from convergent.figures import draw_figure
from convergent.pipeline import representations as stage
from convergent.pipeline.representations import _Layer
from convergent.report import Facts
from convergent.report.answers_places import scale
from convergent.statistics import representation_depth
from convergent.study import Study, converging_files, converging_layers

ITEMS = np.array([f"item{number:03d}" for number in range(80)])
DEPTHS = (0.1, 0.4, 0.9)


def layers(modality: str, families: int, seed: int = 0) -> list[_Layer]:
    """Models whose late layers share what the items are, and whose early layers do not."""
    shared = np.random.default_rng(99).normal(size=(80, 6))
    rng = np.random.default_rng([seed, len(modality)])
    found = []
    for family in range(families):
        for k, depth in enumerate(DEPTHS):
            weight = depth * (1 + 0.1 * family)
            values = weight * shared @ rng.normal(size=(6, 40)) + rng.normal(size=(80, 40))
            name = f"{modality}{family}"
            found.append(_Layer(name, name, f"layer{k}", depth, ITEMS, values.astype(np.float32)))
    return found


def table(vision, language, permutations=50):
    rows = stage._compare(vision, language, ITEMS, permutations, 0, ("images", "texts"))
    return pl.DataFrame(rows, schema=stage.REPRESENTATIONS_SCHEMA)


@pytest.fixture(scope="module")
def pairs():
    return table(layers("vision", 4), layers("language", 5))


def test_every_layer_meets_every_other(pairs):
    assert len(pairs) == 4 * 3 * 5 * 3
    assert pairs["n_items"].unique().to_list() == [80]
    late = pairs.filter((pl.col("depth") > 0.8) & (pl.col("other_depth") > 0.8))
    early = pairs.filter((pl.col("depth") < 0.2) & (pl.col("other_depth") < 0.2))
    assert late["cka"].min() > 0.3 and late["p"].max() <= 1 / 51 + 1e-12
    assert abs(early["cka"].mean()) < 0.1


def test_unrelated_wide_layers_are_alike_in_nothing():
    rng = np.random.default_rng(1)
    wide = [_Layer("a", "a", "x", 0.5, ITEMS, rng.normal(size=(80, 3000)))]
    other = [_Layer("b", "b", "y", 0.5, ITEMS, rng.normal(size=(80, 2000)))]
    (row,) = table(wide, other).iter_rows(named=True)
    assert abs(row["cka"]) < 0.1 and row["p"] > 0.01


def test_the_order_of_the_items_does_not_matter(pairs):
    order = np.random.default_rng(3).permutation(80)
    shuffled = [
        _Layer(a.model, a.family, a.name, a.depth, a.ids[order], a.features[order])
        for a in layers("language", 5)
    ]
    again = table(layers("vision", 4), shuffled)
    np.testing.assert_allclose(again["cka"], pairs["cka"], atol=1e-6)


def test_late_layers_are_found_more_alike(pairs):
    by_depth, trend = representation_depth(pairs)
    (row,) = trend.iter_rows(named=True)
    assert row["low"] > 0.1 and row["p"] < 0.05
    assert row["difference"] == pytest.approx(row["late"] - row["early"])
    assert (row["n_families"], row["other_n_families"], row["n_items"]) == (4, 5, 80)
    assert len(by_depth) == 64
    equal = by_depth.filter(pl.col("bin") == pl.col("other_bin")).sort("bin")
    assert equal["cka"][7] > equal["cka"][0] + 0.2
    assert by_depth.filter(pl.col("bin") != pl.col("other_bin"))["low"].null_count() == 56


def test_a_mean_over_families_by_hand(pairs):
    by_depth, _ = representation_depth(pairs)
    late = pairs.filter((pl.col("depth") == 0.9) & (pl.col("other_depth") == 0.9))
    expected = (late["cka"] - late["null_mean"]).mean()
    cell = by_depth.filter((pl.col("bin") == 7) & (pl.col("other_bin") == 7))
    assert cell["cka"][0] == pytest.approx(expected)


def test_two_families_give_no_interval():
    few = table(layers("vision", 2), layers("language", 5), permutations=0)
    _, trend = representation_depth(few)
    (row,) = trend.iter_rows(named=True)
    assert row["p"] is None and "fewer than 3 families" in row["reason"]


def test_the_figure_and_the_answer_say_what_was_found(pairs):
    by_depth, trend = representation_depth(pairs)
    tables = {"representation_depth": by_depth, "representation_trend": trend}
    (drawing,) = draw_figure("representations", tables)
    assert "5 families" in drawing.caption and "80 stimuli" in drawing.caption
    (answer,) = scale(tables, Facts(frozenset(), "ridge_r"))
    assert answer.state == "yes" and answer.figure == drawing.name
    assert "more alike" in answer.verdict


def study_of(tmp_path, permutations=5, stimuli=1000):
    config = types.SimpleNamespace(
        convergence=types.SimpleNamespace(datasets=("images", "texts"), stimuli=stimuli),
        fit=types.SimpleNamespace(permutations=permutations, seed=0),
    )
    paths = types.SimpleNamespace(representations=str(tmp_path / "representations.parquet"))
    return types.SimpleNamespace(
        config=config, paths=paths, name="s", file="s.yaml", identity=lambda stage: "0" * 16
    )


def test_the_stage_writes_the_common_items_only(tmp_path, monkeypatch):
    vision, language = layers("vision", 3), layers("language", 3)
    part = [
        _Layer(a.model, a.family, a.name, a.depth, a.ids[20:], a.features[20:]) for a in language
    ]
    monkeypatch.setattr(stage, "_layers", lambda study, name: vision if name == "images" else part)
    study = study_of(tmp_path)
    stage.representations(study)
    assert pl.read_parquet(study.paths.representations)["n_items"].unique().to_list() == [60]
    stage.representations(study_of(tmp_path, stimuli=40))
    assert pl.read_parquet(study.paths.representations)["n_items"].unique().to_list() == [40]
    other = [_Layer(a.model, a.family, a.name, a.depth, a.ids + "x", a.features) for a in language]
    monkeypatch.setattr(stage, "_layers", lambda study, name: vision if name == "images" else other)
    with pytest.raises(ConfigError, match="0 items are common"):
        stage.representations(study)


def test_one_model_a_family_comes_first(repository):
    agreed = {f"datasets.{name}.options.agreement": "accepted" for name in ("nsd", "nsd-captions")}
    study = Study.load(repository / "config/paper.yaml", agreed)
    for dataset in ("nsd", "nsd-captions"):
        chosen = converging_layers(study, dataset)
        models = list(dict.fromkeys(model for model, *_ in chosen))
        assert len(models) == 24
        assert len({study.model(model).family for model in models}) == 24
        assert all(len([key for key in chosen if key[0] == model]) <= 8 for model in models)
    assert len(converging_files(study)) == 2 + sum(
        len(converging_layers(study, name)) for name in ("nsd", "nsd-captions")
    )


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        (["nsd", "nds"], "no data set of the study"),
        (["nsd-captions", "nsd"], "language and vision"),
    ],
)
def test_wrong_data_sets_are_named(repository, datasets, words):
    asked = {f"datasets.{name}.options.agreement": "accepted" for name in ("nsd", "nsd-captions")}
    mistakes = Study.mistakes(
        repository / "config/paper.yaml", asked | {"convergence.datasets": datasets}
    )
    assert any(words in str(mistake) for mistake in mistakes)
