"""Maps over models are those of a plain loop, whoever computes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import scores_fixtures as made
from convergent.errors import ConfigError, DataError, StoreError
from convergent.pipeline import measure as aggregate
from convergent.pipeline import workers
from convergent.pipeline.maps import Moments, merge, write_maps
from convergent.store import open_dataset, open_store
from convergent.study import Study, final_models, final_scores
from convergent.tables.frames import read_table


@pytest.fixture
def study(tmp_path) -> Study:
    return made.made_study(tmp_path)


def of_model(study, model, subject, layers=None):
    """r of each target: the layer of its region that is best in training, fold by fold."""
    layers = layers or [layer.name for layer in study.model(model).layers]
    stores = [
        open_store(study.paths.alignment("scenes", model, "final", layer, subject), "alignment")
        for layer in layers
    ]
    r = np.zeros(made.TARGETS[subject])
    for target, region in enumerate(stores[0]["target_region"].tolist()):
        at = made.REGIONS.index(region)
        for fold in range(made.FOLDS):
            best = max(range(len(stores)), key=lambda k: stores[k]["region_inner_r"][fold, at])
            r[target] += stores[best]["fold_r"][fold, target] / made.FOLDS
    return r, stores[0]["noise_ceiling"]


@pytest.mark.parametrize("fan_in", [2, 8])
def test_mean_and_spread_over_models_are_those_of_a_plain_loop(study, monkeypatch, fan_in):
    monkeypatch.setattr(workers, "FAN_IN", fan_in)
    maps = open_store(write_maps(study, "scenes"), "maps")
    assert maps["model"].tolist() == list(made.NETS)  # no baseline, no random weights
    for subject in made.TARGETS:
        found = [of_model(study, model, subject) for model in made.NETS]
        r, ceiling = np.stack([r for r, _ in found]), found[0][1]
        np.testing.assert_allclose(maps[f"{subject}.r_mean"], r.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(maps[f"{subject}.r_sd"], r.std(axis=0, ddof=1), atol=1e-6)
        share = r / np.sqrt(np.where(ceiling >= 0.05, ceiling, np.nan))
        assert np.isnan(share).any() and not np.isnan(share).all()
        np.testing.assert_allclose(maps[f"{subject}.share_mean"], share.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(
            maps[f"{subject}.share_sd"], share.std(axis=0, ddof=1), rtol=1e-5
        )
        assert (maps[f"{subject}.n"] == len(made.NETS)).all()
        assert maps.dims[f"{subject}.n"] == (f"target_{subject}",)


def test_the_mean_of_a_regions_targets_is_the_regions_score_in_the_alignment_table(study):
    maps = open_store(write_maps(study, "scenes"), "maps")
    rows = []
    for model in made.NETS:
        aggregate.measure(study, model)
        rows.append(read_table(study.paths.model(model, "alignment")))
    table = pl.concat(rows).filter(
        pl.col("metric") == "ridge_r", pl.col("choice") == "best", pl.col("final")
    )
    by_region = table.group_by("subject", "region").agg(pl.col("score").mean())
    assert by_region.height == len(made.TARGETS) * len(made.REGIONS)
    for subject, region, score in by_region.iter_rows():
        mine = maps[f"{subject}.region"] == region
        np.testing.assert_allclose(maps[f"{subject}.r_mean"][mine].mean(), score, atol=1e-6)


def test_failed_layers_and_models_are_left_out_and_counted(study):
    rng = np.random.default_rng(1)
    failed = {"status": "failed", "reason": "NaN"}
    for subject in made.TARGETS:
        made.write_scores(study, "net-a", "final", "layers.0", subject, rng, **failed)
        made.write_scores(study, "net-b", "final", "layers.0", subject, rng, **failed)
    maps = open_store(write_maps(study, "scenes"), "maps")
    assert maps.attrs["models"] == {s: ["net-a", "net-c", "net-d"] for s in made.TARGETS}
    r = [of_model(study, "net-a", "s1", ["layers.1", "layers.2"])[0]]
    r += [of_model(study, model, "s1")[0] for model in ("net-c", "net-d")]
    np.testing.assert_allclose(maps["s1.r_mean"], np.mean(r, axis=0), atol=1e-6)
    assert (maps["s1.n"] == 3).all()


def test_a_target_without_a_score_is_not_counted_and_one_model_has_no_spread():
    def part(model: str, *scores: float) -> Moments:
        known = ~np.isnan(scores)
        mean = np.where(known, scores, 0.0)
        return Moments((model,), "r", None, known.astype(int), mean, np.zeros(len(scores)))

    nan = np.nan
    parts = [part("a", 1.0, nan, nan), None, part("b", 3.0, 5.0, nan), part("c", nan, 6.0, nan)]
    found = merge([merge(parts[:2]), merge(parts[2:])])
    assert found.n.tolist() == [2, 2, 0]
    assert found.mean.tolist() == [2.0, 5.5, 0.0]
    assert found.deviation.tolist() == [2.0, 0.5, 0.0]
    assert merge([None, None]) is None


def test_stores_of_other_responses_or_settings_are_refused(study):
    rng = np.random.default_rng(1)
    other = {"made_from": {"responses": "of another scanner"}}
    made.write_scores(study, "net-b", "final", "layers.0", "s1", rng, **other)
    with pytest.raises(StoreError, match="'net-a' and model 'net-b' were fitted to different"):
        write_maps(study, "scenes")
    made.write_scores(study, "net-b", "final", "layers.0", "s1", rng, identity="other")
    with pytest.raises(StoreError, match="net-b.*other settings than the study's"):
        write_maps(study, "scenes")
    assert not Path(study.paths.maps("scenes")).exists()


def test_what_has_no_maps_says_so(tmp_path, study):
    config = study.config.model_copy(
        update={"fit": study.config.fit.model_copy(update={"metrics": {"cka": None}})}
    )
    with pytest.raises(ConfigError, match="list ridge in fit.metrics"):
        write_maps(Study(config, study.file, study.models, ()), "scenes")
    controls = {"gabor": study.models["gabor"]}
    with pytest.raises(DataError, match="no final trained model"):
        write_maps(Study(study.config, study.file, controls, ()), "scenes")


def test_what_a_map_is_made_of(study):
    assert final_models(study, "scenes") == [(net, "final") for net in made.NETS]
    files = final_scores(study, "scenes")
    assert len(files) == sum(made.NETS.values()) * len(made.TARGETS)
    assert all(Path(path).exists() for path in files)


def test_a_map_opens_with_xarray(study):
    found = open_dataset(write_maps(study, "scenes"))
    assert found["s2.region"].dims == ("target_s2",)
    regional = found["s1.r_mean"].groupby(found["s1.region"]).mean()
    assert set(regional["s1.region"].values.tolist()) == set(made.REGIONS)
