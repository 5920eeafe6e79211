"""The labelled array holds the table's numbers, at the table's keys, and nothing else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

import tables_fixtures as made
from convergent.errors import DataError, TableError
from convergent.pipeline import cube as stage
from convergent.pipeline.cube import open_cube, write_cube
from convergent.store import open_store
from convergent.tables import files as table_files


def study_of(paths) -> SimpleNamespace:
    def dataset(name: str) -> str:
        return name

    return SimpleNamespace(
        scratch=lambda: None,
        name="small",
        paths=paths,
        families={"vit": [], "cnn": []},
        dataset=dataset,
        file="small.yaml",
        family=lambda name: [],
        identity=lambda stage, **keys: made.IDENTITY,
    )


@pytest.fixture
def parts() -> dict[str, pl.DataFrame]:
    """One measurement is missing, one score is null."""
    found = {family: made.measurement_rows(family) for family in made.MODELS}
    gone = (pl.col("layer") == "blocks.10") & (pl.col("region") == "V4") & (pl.col("scale") == 2)
    gone &= (pl.col("model") == "vit-b") & (pl.col("subject") == "s2")
    null = (pl.col("layer") == "blocks.0") & (pl.col("metric") == "cka")
    found["vit"] = (
        found["vit"]
        .filter(~gone.fill_null(value=False))
        .with_columns(score=pl.when(~null).then("score"))
    )
    return found


@pytest.mark.parametrize("batch", [7, 50, 1 << 18])
def test_every_number_is_that_of_the_table_and_the_rest_is_nan(tmp_path, parts, monkeypatch, batch):
    monkeypatch.setattr(stage, "_BATCH", batch)
    monkeypatch.setattr(table_files, "ROW_GROUP", 40)
    paths = made.write_results(tmp_path / "small", measurements=parts)
    cube = open_cube(write_cube(study_of(paths), "one"))
    rows = pl.concat(parts.values()).filter(pl.col("dataset") == "one")
    assert dict(cube.sizes) == {"unit": 9, "subject": 2, "region": 3, "metric_scale": 4}
    for name in stage.VALUES:
        values = cube[name].values
        assert values.dtype == np.float32
        assert np.isfinite(values).sum() == rows[name].count()
    axes = ("unit", "subject", "region", "metric_scale")
    position = {axis: {key: i for i, key in enumerate(cube[axis].values.tolist())} for axis in axes}
    values = {name: cube[name].values for name in stage.VALUES}
    for row in rows.iter_rows(named=True):
        scale = "" if row["scale"] is None else f"@{row['scale']:g}"
        keys = (row["model"], row["checkpoint"], row["layer"]), row["subject"], row["region"]
        at = tuple(
            position[axis][key]
            for axis, key in zip(axes, (*keys, row["metric"] + scale), strict=True)
        )
        for name in stage.VALUES:
            expected = np.nan if row[name] is None else row[name]
            np.testing.assert_array_equal(values[name][at], np.float32(expected))
    np.testing.assert_array_equal(cube["noise_ceiling"].values, np.full((2, 3), np.float32(0.5)))


def test_labels_are_those_of_the_table_and_nothing_is_read_before_it_is_asked_for(tmp_path, parts):
    paths = made.write_results(tmp_path / "small", measurements=parts)
    path = write_cube(study_of(paths), "two")
    cube = open_cube(path)
    assert cube["score"].chunks is not None
    assert cube["family"].values.tolist() == ["cnn"] * 3 + ["vit"] * 6
    assert cube["layer"].values.tolist() == list(made.LAYERS) * 3
    assert cube["metric_scale"].values.tolist() == ["cka", "cka_rbf@0.5", "cka_rbf@2", "ridge_r"]
    assert np.isnan(cube["step"].values.astype(float)).all()
    assert cube["weights_sha256"].values[0] == "cnn-a-hash"
    assert open_store(path, "cube").attrs["dataset"] == "two"
    mean = cube["score"].sel(model="cnn-a", metric_scale="ridge_r").mean().compute()
    rows = parts["cnn"].filter(pl.col("dataset") == "two", pl.col("metric") == "ridge_r")
    assert float(mean) == pytest.approx(float(rows["score"].mean()), abs=1e-6)


def test_the_same_table_gives_the_same_bytes(tmp_path, parts):
    paths = made.write_results(tmp_path / "small", measurements=parts)
    first, second = (Path(write_cube(study_of(paths), "one")).read_bytes() for _ in range(2))
    assert first == second


def test_a_data_set_without_measurements_is_told(tmp_path, parts):
    paths = made.write_results(tmp_path / "small", measurements=parts)
    with pytest.raises(DataError, match="data set 'three': no measurements"):
        write_cube(study_of(paths), "three")


def test_a_ceiling_that_depends_on_the_layer_is_refused(tmp_path, parts):
    parts["cnn"] = parts["cnn"].with_columns(
        noise_ceiling=pl.when(pl.col("layer_index") == 1).then(0.4).otherwise(0.5)
    )
    paths = made.write_results(tmp_path / "small", measurements=parts)
    with pytest.raises(TableError, match="s1, V1 has several descriptions as a noise ceiling"):
        write_cube(study_of(paths), "one")
