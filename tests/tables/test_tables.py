"""Tables: written sorted and streaming, checked at the boundary, scanned in parts."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

import tables_fixtures as made
from convergent.errors import StoreError, TableError
from convergent.tables import files as table_files
from convergent.tables.files import copy_rows, datasets_in, scan_tables, writing
from convergent.tables.frames import read_table, write_table
from convergent.tables.schemas import SHAPES

MEASUREMENTS = SHAPES["measurements"]


@pytest.fixture
def rows() -> pl.DataFrame:
    return made.measurement_rows("vit")


def test_what_is_written_in_any_order_is_read_back_sorted(tmp_path, rows):
    path = str(tmp_path / "vit.parquet")
    write_table(path, [rows.sample(fraction=1, shuffle=True, seed=3)], "measurements")
    assert_frame_equal(read_table(path, "measurements"), rows.sort(MEASUREMENTS.keys))
    # blocks.2 would stand after blocks.10 by its name: layers are in the order of their index
    assert read_table(path)["layer"].unique(maintain_order=True).to_list() == list(made.LAYERS)


def test_pieces_become_few_row_groups_and_the_same_bytes_as_one_piece(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(table_files, "ROW_GROUP", 100)
    rows = rows.sort(MEASUREMENTS.keys)
    whole, pieces = tmp_path / "whole.parquet", tmp_path / "pieces.parquet"
    with writing(str(whole), "measurements") as file:
        file.write(rows)
    with writing(str(pieces), "measurements") as file:
        for start in range(0, rows.height, 37):
            file.write(rows.slice(start, 37))
    assert whole.read_bytes() == pieces.read_bytes()
    found = pq.ParquetFile(pieces).metadata
    assert found.num_row_groups == math.ceil(rows.height / 100)
    key = found.row_group(0).column(MEASUREMENTS.keys.index("model"))
    assert any("DICTIONARY" in encoding for encoding in key.encodings)


def test_a_family_is_its_models_in_one_sorted_file(tmp_path, rows, monkeypatch):
    monkeypatch.setattr(table_files, "ROW_GROUP", 50)
    paths = []
    for (model,), mine in rows.group_by("model", maintain_order=True):
        paths.append(str(tmp_path / f"{model}.parquet"))
        write_table(paths[-1], [mine], "measurements")
    family = str(tmp_path / "families/vit.parquet")
    with writing(family, "measurements") as file:
        for dataset in datasets_in(paths):
            for path in sorted(paths):
                copy_rows(file, path, dataset)
    assert_frame_equal(read_table(family), rows.sort(MEASUREMENTS.keys))


def test_a_row_twice_is_refused_within_a_piece_and_across_pieces(tmp_path, rows):
    path = str(tmp_path / "vit.parquet")
    rows = rows.sort(MEASUREMENTS.keys)
    with pytest.raises(TableError, match=r"two rows of the same dataset one, family vit, model"):
        write_table(path, [rows, rows.head(1).with_columns(score=0.2)], "measurements")
    with (
        pytest.raises(TableError, match="two rows of the same"),
        writing(path, "measurements") as file,
    ):
        file.write(rows.head(10))
        file.write(rows.slice(9, 10))
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_pieces_out_of_order_are_a_mistake_of_the_program(tmp_path, rows):
    rows = rows.sort(MEASUREMENTS.keys)
    with (
        pytest.raises(ValueError, match="wrong order"),
        writing(str(tmp_path / "a.parquet"), "measurements") as file,
    ):
        file.write(rows.slice(10, 10))
        file.write(rows.head(10))


@pytest.mark.parametrize(
    ("column", "value", "metric", "words"),
    [
        ("p", 1.2, "cka", "'p' is outside 0 to 1: 1.2"),
        ("p", -0.1, "cka", "'p' is outside 0 to 1"),
        ("score", 1.01, "ridge_r", "'score' is beyond what its metric can be: 1.01"),
        ("score", -1.01, "cka", "'score' is beyond what its metric can be"),
        ("score", math.nan, "cka", "'score' is not a finite number: nan"),
        (
            "score_chance_corrected",
            math.inf,
            "cka",
            "'score_chance_corrected' is not a finite number: inf",
        ),
        ("null_sd", -0.1, "cka", "'null_sd' is outside 0 to inf"),
        ("depth", 1.5, "cka", "'depth' is outside 0 to 1"),
        ("n_targets", -1, "cka", "'n_targets' is outside 0"),
    ],
)
def test_what_cannot_be_is_not_written(tmp_path, rows, column, value, metric, words):
    wrong = (pl.col("layer") == "blocks.1") & (pl.col("region") == "V2")
    wrong = wrong & (pl.col("metric") == metric) & (pl.col("subject") == "s1")
    rows = rows.with_columns(pl.when(wrong).then(pl.lit(value)).otherwise(column).alias(column))
    path = tmp_path / "vit.parquet"
    with pytest.raises(TableError, match="blocks.1") as caught:
        write_table(str(path), [rows], "measurements")
    assert words in str(caught.value) and str(path) in str(caught.value)
    assert "region V2" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_can_be_is_written(tmp_path, rows):
    """R2 far below zero, unique variance, scores of metrics that are nobody's, and nulls."""
    values = {"ridge_r2": -4.4, "unique": -1.5, "my_distance": 17.0, "ridge_r": None}
    parts = [
        rows.head(1).with_columns(
            metric=pl.lit(metric), score=pl.lit(score, dtype=pl.Float64), p=None
        )
        for metric, score in values.items()
    ]
    parts = [part.cast({"p": pl.Float64}) for part in parts]
    write_table(str(tmp_path / "vit.parquet"), parts, "measurements")
    assert read_table(str(tmp_path / "vit.parquet"), "measurements").height == 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.drop("subject"), "column 'subject' is missing"),
        (lambda rows: rows.cast({"score": pl.Float32}), "'score' has the type Float32 and not F"),
        (lambda rows: rows.with_columns(extra=1), "unknown column 'extra'"),
    ],
)
def test_another_schema_is_refused_where_it_is_read(tmp_path, rows, change, words):
    path = tmp_path / "vit.parquet"
    change(rows).write_parquet(path)
    for read in (read_table, lambda path, table: scan_tables([path], table)):
        with pytest.raises(TableError) as caught:
            read(str(path), "measurements")
        assert words in str(caught.value)
        assert str(path) in str(caught.value) and "rerun its rule" in str(caught.value)


def test_a_missing_or_damaged_part_is_named(tmp_path, rows):
    good, absent, bad = (str(tmp_path / f"{name}.parquet") for name in ("good", "absent", "bad"))
    write_table(good, [rows], "measurements")
    Path(bad).write_bytes(Path(good).read_bytes()[:-50])
    with pytest.raises(StoreError, match="absent.parquet: the table is missing"):
        scan_tables([good, absent], "measurements")
    with pytest.raises(StoreError, match="bad.parquet: the table is damaged"):
        scan_tables([good, bad], "measurements")


@pytest.mark.parametrize("place", ["families", "families/*.parquet"])
def test_the_folder_of_families_is_measurements_alone(tmp_path, place):
    paths = made.write_results(tmp_path / "small")
    found = pl.read_parquet(tmp_path / "small" / place)
    assert found.height == sum(made.measurement_rows(family).height for family in made.MODELS)
    assert list(found.columns) == list(MEASUREMENTS.columns)
    chosen = pl.read_parquet(tmp_path / "small/families-alignment")
    assert set(chosen["choice"]) == {"best", "fixed"}
    lazy = scan_tables([paths.family(family) for family in made.MODELS], "measurements")
    assert_frame_equal(lazy.collect().sort(MEASUREMENTS.keys), found.sort(MEASUREMENTS.keys))


def test_a_table_under_another_name_is_refused(tmp_path, rows):
    paths = [str(tmp_path / f"{name}.parquet") for name in ("vit", "cnn")]
    for path in paths:
        write_table(path, [rows], "measurements", {"family": "vit"})
    assert scan_tables(paths[:1], "measurements").collect().height == rows.height
    with pytest.raises(StoreError, match=r"cnn\.parquet: it holds the table .* of 'vit'"):
        scan_tables(paths, "measurements")
    write_table(paths[1], [], "coverage", {"family": "cnn"})
    with pytest.raises(StoreError, match="it holds the table 'coverage'"):
        scan_tables(paths, "measurements")
