"""A small study goes from stimuli and weights to the report."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from convergent.errors import StoreError
from convergent.pipeline.cube import open_cube
from convergent.pipeline.measure import measure
from convergent.store import open_store
from convergent.study import Study, Unit
from convergent.tables.frames import scan_families


def test_every_file_of_the_study_is_there_and_whole(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    study = Study.load("study.yaml")
    for key in study.models:
        for path in study.feature_files(Unit(key)):
            assert open_store(path, "features").attrs["status"] == "ok"
        for path in study.alignment_files(Unit(key)):
            assert open_store(path, "alignment").attrs["n_samples"] > 100
    for table in study.tables():
        assert Path(study.paths.table(table)).exists()
    page = Path(study.paths.report).read_text()
    assert "simulated" in page.lower()
    assert not list(Path("results").rglob("*.tmp"))


def test_measurements_are_tidy_sorted_and_complete(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    table = scan_families(Study.load("study.yaml"), "measurements").collect()
    table = table.sort("dataset", maintain_order=True)  # each family's file is sorted by itself
    # (gabor 1 + vit 2 checkpoints x 2 layers) and 1 on sentences, 2 subjects, 360 areas,
    # and r, R2, CKA, and RBF-CKA at two scales
    assert table.height == (1 + 4 + 1) * 2 * 360 * 5
    keys = ["dataset", "family", "model", "checkpoint", "layer_index"]
    keys += ["subject", "region", "metric", "scale"]
    assert table.select(pl.struct(keys).is_unique().all()).item()
    assert table.equals(table.sort(keys))
    scores = table.filter(pl.col("metric") != "ridge_r2")["score"].to_numpy()
    assert np.abs(scores).max() <= 1
    calibrated = table.filter(pl.col("metric") != "ridge_r2")
    np.testing.assert_allclose(
        calibrated["score_chance_corrected"],
        (calibrated["score"] - calibrated["null_mean"]) / (1 - calibrated["null_mean"]),
        atol=1e-9,
    )
    assert set(table["p"].drop_nulls()) <= {0.2, 0.4, 0.6, 0.8, 1.0}
    assert table.filter(pl.col("score_normalised").is_not_null())["noise_ceiling"].min() >= 0.05


def test_ceilings_of_similarity_metrics_are_in_the_tables_and_the_report(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    table = pl.read_parquet("results/small/study/ceilings.parquet")
    assert table.height == 2 * 360 * 3  # data sets, areas, CKA and RBF-CKA at two scales
    keys = ["dataset", "region", "metric", "scale"]
    assert table.equals(table.sort(keys)) and table.select(pl.struct(keys).is_unique().all()).item()
    assert set(table["n_subjects"]) == {2} and table["n_stimuli"].min() > 100
    assert table.select((pl.col("lower") <= pl.col("upper")).all()).item()
    assert (
        "Final trained models beside the noise ceiling"
        in Path("results/small/report.html").read_text()
    )


def test_random_and_trained_weights_have_hashes_of_their_own(finished, monkeypatch):
    monkeypatch.chdir(finished.folder)
    table = scan_families(Study.load("study.yaml"), "measurements").collect()
    hashes = table.filter(pl.col("model") == "tiny-vit").select("checkpoint", "weights_sha256")
    assert hashes.unique().height == 2
    assert hashes["weights_sha256"].n_unique() == 2


def test_coarser_jobs_write_the_same_bytes(workflow):
    """One process for a whole model writes the same stores as a process a layer."""
    every = sorted(workflow.folder.glob("results/small/[fa]*/**/*.zarr.zip"))
    stores = [path for path in every if not path.name.startswith(".")]
    before = {path: path.read_bytes() for path in stores}
    assert len(before) == 6 + 12
    for path in every:  # what was kept too: all is computed again
        path.unlink()
    workflow.config["granularity"] = "model"
    workflow.snakemake(*(f"results/small/families/{name}.parquet" for name in ("tiny", "controls")))
    assert {path: path.read_bytes() for path in stores} == before


def test_the_labelled_array_is_made_when_it_is_asked_for(workflow, monkeypatch):
    """No other rule needs it, and a plan without it has none."""
    target = "results/small/study/cube/scenes.zarr.zip"
    assert workflow.plan() == {}
    workflow.snakemake(target)
    monkeypatch.chdir(workflow.folder)
    rows = scan_families(Study.load("study.yaml"), "measurements").collect()
    mine = rows.filter(dataset="scenes", metric="ridge_r", model="tiny-vit")
    cube = open_cube(target)["score"].sel(metric_scale="ridge_r", model="tiny-vit")
    assert cube.count().compute() == mine["score"].count()
    np.testing.assert_allclose(cube.mean().compute(), mine["score"].mean(), atol=1e-6)


def test_a_store_of_other_settings_is_refused(workflow, monkeypatch):
    """What a failed or refused job may leave behind is not counted as the study's."""
    workflow.config["fit"]["seed"] = 7
    workflow.write()
    monkeypatch.chdir(workflow.folder)
    with pytest.raises(StoreError, match="other settings than the study's"):
        measure(Study.load("study.yaml"), "tiny-vit")
