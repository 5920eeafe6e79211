"""Rows become tables that the study reads back, in a stable order, and differ by cell."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convergent.errors import TableError
from convergent.study.rows import read_models, read_performance
from convergent.study.tables import expand_braces
from convergent.zoo import (
    CheckpointRow,
    ModelRow,
    ScoreRow,
    compress_braces,
    diff_tables,
    read_cells,
    table_text,
    write_table,
)


def expand(text: str) -> list[str]:
    return [name for part in text.split(";") for name in expand_braces(part)]


def row(key: str = "a.in1k", **changes: object) -> ModelRow:
    values: dict[str, object] = {
        "model": key,
        "family": "resnet",
        "modality": "vision",
        "source": "timm",
        "reference": f"timm/{key}",
        "parameters": 25_557_032,
        "layers": ("act1", "layer1.0", "layer1.1", "layer2.0"),
        "widths": (64, 256, 256, 512),
        "layout": "channels_first",
        "pooling": "spatial_mean",
        "preprocessing": {"size": "224", "crop": "0.95"},
        "tags": ("in1k", "coco"),
    }
    return ModelRow(**{**values, **changes})


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["norm"], "norm"),
        ([f"blocks.{i}" for i in range(12)], "blocks.{0-11}"),
        (["blocks.0", "blocks.2", "blocks.3"], "blocks.{0,2-3}"),
        (["s.0.0", "s.0.1", "s.1.0", "s.1.1"], "s.{0-1}.{0-1}"),
        (["s.0.0", "s.0.1", "s.1.0"], "s.0.{0-1};s.1.0"),
        (["layer1.0", "layer2.0"], "layer{1-2}.0"),
        (["a.1", "a.0"], "a.{1,0}"),
        (["a.01", "a.02"], "a.01;a.02"),
    ],
)
def test_ranges_are_written_as_a_person_would(names: list[str], text: str) -> None:
    assert compress_braces(names) == text
    assert expand(text) == names


@given(
    st.lists(
        st.lists(
            st.sampled_from(["0", "1", "2", "3", "9", "10", "11", "blocks", "s1", "07"]),
            min_size=1,
            max_size=4,
        ).map(".".join),
        min_size=1,
        max_size=25,
        unique=True,
    )
)
def test_compressed_paths_expand_to_themselves_in_order(names: list[str]) -> None:
    assert expand(compress_braces(names)) == names


def test_a_table_reads_back_as_it_was_meant(tmp_path: Path) -> None:
    write_table(
        tmp_path / "m.tsv", [row("b.in1k"), row("a.in1k", widths=(8, 8, 8, 8))], "two\nrows"
    )
    write_table(
        tmp_path / "c.tsv",
        [
            CheckpointRow(model="b.in1k", checkpoint="random-0", role="random", seed=0),
            CheckpointRow(model="b.in1k", checkpoint="step10", step=10, final=True),
            CheckpointRow(model="b.in1k", checkpoint="step9", step=9, revision="f" * 40),
        ],
    )
    write_table(
        tmp_path / "p.tsv",
        [ScoreRow(model="a.in1k", benchmark="imagenet_top1", score=80.35, source="f, r@c")],
    )
    errors: list[TableError] = []
    models, wrong = read_models(tmp_path, ("m.tsv",), ("c.tsv",), errors)
    scores = read_performance(tmp_path, ("p.tsv",), models, wrong, errors)
    assert errors == []
    assert list(models) == ["a.in1k", "b.in1k"]
    b = models["b.in1k"]
    assert [layer.name for layer in b.layers] == list(row().layers)
    assert [layer.width for layer in b.layers] == [64, 256, 256, 512]
    assert [layer.width for layer in models["a.in1k"].layers] == [8] * 4
    assert b.preprocessing == {"size": "224", "crop": "0.95"}
    assert b.tags == ("in1k", "coco")
    assert b.parameters == 25_557_032
    assert [checkpoint.name for checkpoint in b.checkpoints] == ["step9", "step10", "random-0"]
    assert b.checkpoints[0].revision == "f" * 40
    assert [checkpoint.final for checkpoint in b.checkpoints] == [False, True, False]
    assert scores[0].score == 80.35


def test_the_order_of_the_rows_given_does_not_matter() -> None:
    rows = [row(f"m{number}.in1k", family=f"f{number % 3}") for number in range(12)]
    text = table_text(rows)
    random.Random(0).shuffle(rows)
    assert table_text(rows) == text
    models = [line.split("\t")[0] for line in text.splitlines()[1:]]
    assert models[:4] == ["m0.in1k", "m3.in1k", "m6.in1k", "m9.in1k"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "no rows"),
        ([row(), row()], "there twice"),
        ([row(notes='a "quoted" word')], "cannot be a cell"),
        ([row(notes="two\tcells")], "cannot be a cell"),
        ([row(widths=(1, 2))], "2 widths for 4 layers"),
        ([row("#a")], "comment"),
    ],
)
def test_what_would_not_read_back_is_refused(rows: list[ModelRow], says: str) -> None:
    with pytest.raises(TableError, match=says):
        table_text(rows)


def test_a_difference_is_told_by_row_and_cell(tmp_path: Path) -> None:
    write_table(tmp_path / "old.tsv", [row("a"), row("b"), row("c")])
    write_table(tmp_path / "new.tsv", [row("a"), row("b", parameters=7), row("d")])
    old, new = (read_cells(tmp_path / f"{name}.tsv", ModelRow) for name in ("old", "new"))
    diff = diff_tables(old, new)
    assert diff.counts == "1 added, 1 removed, 1 changed, 1 unchanged"
    assert diff.lines() == ["+ d", "- c", "~ b: parameters '25557032' -> '7'"]
    assert diff and not diff_tables(old, old)
    assert diff_tables({}, new).lines(most=2) == ["+ a", "+ b", "+ ... and 1 more"]


def test_a_table_that_is_not_there_has_no_rows(tmp_path: Path) -> None:
    assert read_cells(tmp_path / "none.tsv", ModelRow) == {}
