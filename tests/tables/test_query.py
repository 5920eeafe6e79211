"""Questions in SQL read the tables, are told what is wrong with them, and never write."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest

import tables_fixtures as made
from convergent.cli import main
from convergent.errors import TableError, UnknownKeyError
from convergent.tables.query import answers, table_list
from convergent.tables.results import results_at, results_in


@pytest.fixture
def root(tmp_path) -> Path:
    made.write_results(tmp_path / "small")
    return tmp_path / "small"


def ask(root: Path, question: str) -> pl.DataFrame:
    with answers(results_in(root), question) as reader:
        found = pl.from_arrow(reader.read_all())
    assert isinstance(found, pl.DataFrame)
    return found


def test_an_aggregate_over_families_is_that_of_polars(root):
    found = ask(root, "SELECT model, metric, avg(score) AS score FROM measurements GROUP BY ALL")
    rows = pl.concat([made.measurement_rows(family) for family in made.MODELS])
    expected = rows.group_by("model", "metric").agg(pl.col("score").mean())
    keys = ["model", "metric"]
    assert found.sort(keys).select(keys).equals(expected.sort(keys).select(keys))
    assert (found.sort(keys)["score"] - expected.sort(keys)["score"]).abs().max() < 1e-12


def test_tables_are_joined_by_their_names(root):
    found = ask(
        root,
        "WITH best AS (SELECT model, max(score) AS a FROM alignment GROUP BY model) "
        "SELECT model, a, score FROM best JOIN performance USING (model) ORDER BY model",
    )
    assert found["model"].to_list() == ["cnn-a", "vit-a", "vit-b"]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("COPY measurements TO '{root}/x.csv'", "COPY is refused"),
        ("CREATE TABLE t AS SELECT 1", "CREATE is refused"),
        ("DROP VIEW measurements", "DROP is refused"),
        ("INSERT INTO performance VALUES (1)", "INSERT is refused"),
        ("SET enable_external_access = true", "SET is refused"),
        ("SELECT 1; SELECT 2", "2 statements"),
        ("", "0 statements"),
        ("SELECT nothing FROM measurements", '"nothing" not found'),
        ("SELEC", "syntax error"),
        ("SELECT * FROM read_csv('{root}/study/about.json')", "no other file"),
    ],
)
def test_what_writes_or_cannot_be_understood_is_refused(root, question, words):
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    with (
        pytest.raises(TableError, match=words),
        answers(results_in(root), question.format(root=root)) as reader,
    ):
        reader.read_all()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_an_unknown_table_is_named_with_those_there_are(root):
    with pytest.raises(UnknownKeyError, match="tables: measurements, alignment, correlations"):
        ask(root, "SELECT * FROM measure_ments_")


def test_tables_are_listed_with_rows_and_columns(root):
    listed = {info.name: info for info in table_list(results_in(root))}
    assert set(listed) == {"measurements", "alignment", "correlations", "performance"}
    rows = sum(made.measurement_rows(family).height for family in made.MODELS)
    assert (listed["measurements"].rows, listed["measurements"].files) == (rows, 2)
    assert listed["performance"].columns["score"] == pl.Float64


def test_a_family_that_the_study_no_longer_has_is_left_out(root):
    made.write_results(root, about={"families": {"vit": ["vit-a", "vit-b"], "gone": ["x"]}})
    found = results_at(str(root))
    assert found.families == ("vit",) and found.absent == ("gone",)
    assert [Path(path).name for path in found.stale] == ["cnn.parquet"]
    assert ask(root, "SELECT DISTINCT family FROM measurements")["family"].to_list() == ["vit"]


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["convergent", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        told = capsys.readouterr()
        return int(stopped.value.code or 0), told.out, told.err

    return call


def test_the_command_shows_some_rows_and_writes_all(root, tmp_path, command):
    asked = ("query", "SELECT model, score FROM measurements ORDER BY score", "--results")
    status, out, _ = command(*asked, str(root), "--rows", "3")
    assert status == 0 and "3 of " in out and "vit-a" in out
    csv, parquet = tmp_path / "rows.csv", tmp_path / "rows.parquet"
    status, out, _ = command(*asked, str(root), "--csv", str(csv), "--parquet", str(parquet))
    assert status == 0
    total = sum(made.measurement_rows(family).height for family in made.MODELS)
    assert out.count(f"{total:,} rows") == 2
    assert pl.read_csv(csv).equals(pl.read_parquet(parquet))
    assert pl.read_csv(csv).height == total


def test_the_command_lists_tables_and_tells_mistakes(root, tmp_path, command):
    status, out, _ = command("query", "--tables", "--results", str(root))
    assert status == 0 and "weights_sha256" in out
    status, _, err = command("query", "SELECT 1", "--results", str(tmp_path / "none"))
    assert status == 2 and "no such directory of results" in err
    status, _, err = command("query", "--results", str(root))
    assert status == 2 and "--tables" in err
    status, _, err = command("query", "SELECT 1", "--results", str(root), "--csv", "x.txt")
    assert status == 2 and "name a .csv file" in err
