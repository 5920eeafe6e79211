"""Differences that were planted between two results are found, all of them and no others."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import polars as pl
import pytest

import tables_fixtures as made
from convergent.cli import main
from convergent.tables import comparison_scores
from convergent.tables.comparison import Comparison, compare_results
from convergent.tables.comparison_page import comparison_page, sections, verdict

TOTAL = sum(made.measurement_rows(family).height for family in made.MODELS)


def parts() -> dict[str, pl.DataFrame]:
    return {family: made.measurement_rows(family) for family in made.MODELS}


def compared(tmp_path: Path, tolerance: float = 1e-6) -> Comparison:
    return compare_results(
        str(tmp_path / "old/small"), str(tmp_path / "new/small"), tolerance=tolerance
    )


@pytest.fixture
def old(tmp_path) -> Path:
    made.write_results(tmp_path / "old/small")
    return tmp_path


def test_the_same_results_are_identical(old):
    made.write_results(old / "new/small")
    found = compared(old)
    assert verdict(found) == f"identical within 1e-06: all {TOTAL} measurements of 3 models"
    assert found.scores.same and found.scores.shared == TOTAL == found.scores.classes[0]
    assert found.scores.largest.is_empty()
    titles = [section.title for section in sections(found)]
    assert "Largest differences" not in titles and "Configuration" not in titles


CHANGED = {"dataset": "two", "model": "vit-b", "layer": "blocks.10", "subject": "s2",
           "region": "V4", "metric": "ridge_r"}  # fmt: skip


def planted(change: float = 0.125) -> dict[str, pl.DataFrame]:
    """One score of vit-b moves by much, all of cnn-a's of one region by less than a millionth."""
    found = parts()
    here = pl.all_horizontal(pl.col(name) == value for name, value in CHANGED.items())
    found["vit"] = found["vit"].with_columns(
        score=pl.when(here).then(pl.col("score") - change).otherwise("score")
    )
    found["cnn"] = found["cnn"].with_columns(
        score=pl.when(pl.col("region") == "V1").then(pl.col("score") + 5e-8).otherwise("score")
    )
    return found


@pytest.mark.parametrize("batch", [1, 100, 1 << 20])
def test_planted_differences_are_found_exactly(old, monkeypatch, batch):
    monkeypatch.setattr(comparison_scores, "BATCH", batch)
    made.write_results(old / "new/small", measurements=planted())
    found = compared(old)
    scores = found.scores
    assert (scores.shared, scores.compared, scores.changed, scores.one_sided) == (
        TOTAL,
        TOTAL,
        1,
        0,
    )
    assert scores.greatest == pytest.approx(0.125)
    assert "1 of 3 models changed: 1 of 432 shared scores differ by more than 1e-06" in verdict(
        found
    )
    assert "the largest by 0.125" in verdict(found)
    moved = made.measurement_rows("cnn").filter(region="V1").height
    # classes: equal, up to 1e-12, 1e-9, 1e-6, ..., 0.1 and more
    assert scores.classes.tolist() == [TOTAL - moved - 1, 0, 0, moved, 0, 0, 0, 0, 0, 1]
    first = scores.largest.row(0, named=True)
    assert {name: first[name] for name in CHANGED} == CHANGED
    assert first["difference"] == pytest.approx(-0.125)
    assert first["b"] - first["a"] == pytest.approx(first["difference"])
    models = {row["model"]: row for row in scores.models.to_dicts()}
    assert [models[m]["changed"] for m in ("vit-a", "vit-b", "cnn-a")] == [0, 1, 0]
    assert models["vit-b"]["mean"] == pytest.approx(-0.125 / 144)
    assert scores.models["model"][0] == "vit-b"
    assert {row["metric"]: row["changed"] for row in scores.metrics.to_dicts()}["ridge_r"] == 1
    assert scores.columns["p"] == {"changed": 0, "one_sided": 0, "largest": 0.0}


def test_a_score_that_became_null_is_a_change(old):
    new = parts()
    here = pl.all_horizontal(pl.col(name) == value for name, value in CHANGED.items())
    new["vit"] = new["vit"].with_columns(score=pl.when(~here).then("score"))
    made.write_results(old / "new/small", measurements=new)
    found = compared(old)
    assert (found.scores.changed, found.scores.one_sided) == (0, 1) and not found.scores.same
    assert "1 of 3 models changed; 1 shared measurement have a score on one side" in verdict(found)


def test_what_only_one_side_has_is_named(old):
    new = {"vit": made.measurement_rows("vit").filter(
        (pl.col("model") == "vit-a") & (pl.col("layer") != "blocks.0") & (pl.col("region") != "V2")
    )}  # fmt: skip
    new["rnn"] = made.measurement_rows("cnn").with_columns(
        family=pl.lit("rnn"), model=pl.lit("rnn-a")
    )
    made.write_results(old / "new/small", measurements=new)
    found = compared(old)
    facts = found.facts
    assert facts.only_a["models"] == ["cnn-a", "vit-b"] and facts.only_b["models"] == ["rnn-a"]
    assert facts.only_a["layers"] == ["vit-a, blocks.0"] and not facts.only_b["layers"]
    assert facts.both["models"] == 1 and facts.both["regions"] == 6  # rnn-a has V2
    assert found.scores.shared == 2 * 2 * 2 * 2 * 4
    assert found.scores.only_a == TOTAL - 64 and found.scores.only_b == 144
    told = verdict(found)
    assert told.startswith("the 64 shared measurements are identical within 1e-06")
    assert "only in old/small: 2 models, 1 layers" in told and "only in new/small: 1 models" in told


def test_nothing_shared_is_no_identity(old):
    new = {"cnn": made.measurement_rows("cnn").with_columns(dataset=pl.lit("three"))}
    new["cnn"] = new["cnn"].unique(["model", "layer", "subject", "region", "metric", "scale"])
    made.write_results(old / "new/small", measurements=new)
    found = compared(old)
    assert "nothing to compare" in verdict(found) and not found.scores.same


def test_a_model_that_moved_to_another_family_is_still_the_same_model(old):
    new = parts()
    new["residual"] = new.pop("cnn").with_columns(family=pl.lit("residual"))
    made.write_results(old / "new/small", measurements=new)
    assert compared(old).scores.same


def test_settings_versions_and_weights_that_differ_are_named(old):
    new = parts()
    new["cnn"] = new["cnn"].with_columns(weights_sha256=pl.lit("retrained"))
    configuration = {"study": "small", "fit": {"folds": 10}, "select": {"exclude": []}}
    about = {"configuration": configuration | {"twins": {}}, "software": {"numpy": "2.3.0"}}
    about["primary"] = "cka"
    made.write_results(old / "new/small", measurements=new, about=about)
    facts = compared(old).facts
    assert facts.configuration == [
        ("primary", "ridge_r", "cka"),
        ("fit.folds", "5", "10"),
        ("twins", "(absent)", "{}"),
    ]
    assert ("numpy", "2.2.0", "2.3.0") in facts.software
    assert facts.weights == [("cnn-a, final", "cnn-a-hash", "retrained")]
    told = verdict(compared(old))
    assert "weights of 1 checkpoint differ; 3 configuration keys differ; 2 versions" in told


def test_performance_alignment_and_headline_are_subtracted(old):
    better = made.performance_rows().with_columns(
        score=pl.when(pl.col("model") == "cnn-a").then(0.9).otherwise("score")
    )
    tables = {"performance": better, "correlations": made.correlation_rows(0.45)}
    paths = made.write_results(old / "new/small", tables=tables)
    chosen = pl.read_parquet(paths.family("vit", "alignment"))
    here = (pl.col("model") == "vit-a") & (pl.col("metric") == "ridge_r")
    chosen.with_columns(
        score=pl.when(here).then(pl.col("score") + 0.05).otherwise("score")
    ).write_parquet(paths.family("vit", "alignment"))
    found = compared(old)
    first = found.performance.row(0, named=True)
    assert first["model"] == "cnn-a" and first["change"] == pytest.approx(0.9 - first["a"])
    rows = found.alignment.filter(pl.col("change") > 1e-9)
    assert rows["model"].to_list() == ["vit-a", "vit-a"]  # in both data sets
    assert rows["change"].to_list() == pytest.approx([0.05, 0.05])
    assert rows["cells"].to_list() == [6, 6]
    headline = {row["number"]: row["change"] for row in found.headline.to_dicts()}
    assert headline["r"] == pytest.approx(-0.15) and headline["p"] == 0
    (shown,) = (s for s in sections(found) if s.title.startswith("Headline"))
    assert shown.rows == [["one", "top1", "best", "3", "0.6 → 0.45 (-0.15)", "0.03"]]
    assert [name for name, _ in shown.columns][-3:] == ["n_models", "r", "p"]
    assert "1 performance score changed; headline r changed by up to 0.15" in verdict(found)


def test_a_note_says_which_side_does_not_tell_what_it_was_made_from(old):
    paths = made.write_results(old / "new/small")
    Path(paths.about).unlink()
    found = compared(old)
    assert found.facts.unrecorded == ["new/small"] and found.scores.same
    assert not found.facts.configuration


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["convergent", "compare", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        told = capsys.readouterr()
        return int(stopped.value.code or 0), told.out, told.err

    return call


def test_the_command_ends_with_1_only_where_a_check_fails(old, command):
    made.write_results(old / "new/small", measurements=planted(1e-3))
    sides = str(old / "old/small"), str(old / "new/small")
    status, out, _ = command(*sides)
    assert status == 0 and out.strip().splitlines()[-1].startswith("1 of 3 models changed")
    assert "vit-b" in out and "Largest differences" in out
    assert command(*sides, "--tolerance", "0.01")[0] == 0
    assert command(*sides, "--tolerance", "1e-4")[0] == 1
    assert command(*sides, "--tolerance", "0")[0] == 1
    assert command(sides[0], str(old / "nowhere"))[0] == 2


def test_json_and_page_say_the_same(old, command):
    made.write_results(old / "new/small", measurements=planted())
    page = old / "page.html"
    sides = str(old / "old/small"), str(old / "new/small")
    status, out, _ = command(*sides, "--json", "--html", str(page))
    found = json.loads(out)
    assert status == 0 and found["scores"]["changed"] == 1
    assert found["scores"]["classes"][-1] == {"from": 0.1, "to": None, "count": 1}
    text = page.read_text()
    assert found["verdict"] in text and "http" not in text and "blocks.10" in text


def test_names_in_a_page_are_text(old):
    made.write_results(old / "new/small", about={"software": {"<b>": "<script>"}})
    text = comparison_page(compared(old))
    assert "<script>" not in text and "&lt;script&gt;" in text
