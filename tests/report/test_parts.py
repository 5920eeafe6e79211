"""Cards, outline and figures of the page, one by one."""

from __future__ import annotations

import dataclasses

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from convergent.figures import Drawing
from convergent.report import QUESTIONS, Answer, render_report, report_tables
from convergent.report.answers import cards, vitals
from convergent.report.methods import claim_methods
from convergent.report.page import LARGEST_SVG, embed, model_index, outline
from convergent.report.sections import Table, claim_table, claim_tables


def drawing(name="a", figure="performance-alignment", **changed):
    static = Figure(figsize=(4, 3))
    static.subplots().plot([1, 2])
    data = changed.pop("data", pl.DataFrame({"model": ["m1"], "score": [0.1]}))
    return Drawing(name, figure, "Title", "Caption.", "Alt", data, static, **changed)


def test_every_question_has_a_card_and_one_without_an_answer_says_why(inputs):
    tables = report_tables(inputs)
    tables["trajectories"] = tables["trajectories"].clear()
    tables["performance"] = tables["performance"].clear()
    given = [Answer("regions", f"d{i}", "v", "", (), "", "open") for i in range(4)]
    found = {card.key: card for card in cards(given, tables, {"fit": {"metrics": {"ridge": None}}})}
    assert list(found) == list(QUESTIONS)
    assert (len(found["regions"].shown), len(found["regions"].more)) == (2, 2)
    assert "measured performance" in found["performance"].reason
    assert "checkpoints" in found["order"].reason
    assert "bandwidth" in found["scale"].reason
    assert found["regions"].reason == ""


def test_low_coverage_a_strong_control_and_a_failed_check_are_marked(inputs):
    tables = report_tables(inputs)
    good = vitals(inputs.covered, tables)
    assert not any(vital.warn for vital in good)
    control = (pl.col("role") == "control") & (pl.col("dataset") == "scenes")
    tables["model_alignment"] = tables["model_alignment"].with_columns(
        alignment=pl.when(control).then(0.9).otherwise("alignment")
    )
    tables["recovery_checks"] = tables["recovery_checks"].with_columns(
        passed=pl.when(pl.int_range(pl.len()) == 0).then(False).otherwise("passed")
    )
    strict = dataclasses.replace(inputs, config={"coverage": {"minimum": 1.0}})
    bad = {vital.name: vital for vital in vitals(strict.covered, tables)}
    assert {name for name, vital in bad.items() if vital.warn} == {
        "Coverage", "Controls, scenes", "Planted and recovered",
    }  # fmt: skip
    assert "0.90 (vis-control)" in bad["Controls, scenes"].words


def test_a_figure_that_no_section_names_is_shown_last_and_an_empty_section_is_left_out():
    figures, _ = embed([drawing("a"), drawing("b", "brand-new")], "figures")
    found = outline(figures, {"training": (None, Table("none", ("x",), []))}, {})
    assert [section.key for section in found] == ["performance", "controls", "further"]
    assert found[-1].figures[0].drawing.name == "b"


def test_a_static_figure_with_too_many_marks_is_in_pixels():
    crowd = Figure(figsize=(4, 3))
    crowd.subplots().scatter(range(4000), range(4000))
    figures, _ = embed([drawing("a"), dataclasses.replace(drawing("b"), static=crowd)], "figures")
    assert figures[0].image.startswith("data:image/svg+xml")
    assert figures[1].image.startswith("data:image/webp")
    assert len(figures[1].image) < LARGEST_SVG
    assert figures[0].size == (384, 288)


def test_the_legend_is_measured_without_what_it_does_not_show():
    figure = go.Figure()
    figure.add_scatter(y=[1], name="four")
    figure.add_scatter(y=[1], name="twin", legendgroup="g")
    figure.add_scatter(y=[1], name="twin again", legendgroup="g")
    figure.add_scatter(y=[1], name="hidden", showlegend=False)
    figure.update_layout(height=400)
    (shown,), _ = embed([drawing(interactive=figure)], "figures")
    assert (shown.legend, shown.height) == ("4 4", 400)


def test_the_index_names_the_figures_of_a_model():
    drawings = [
        drawing("a", data=pl.DataFrame({"model": ["m2", "m1", "m2", "unknown"]})),
        drawing("b", data=pl.DataFrame({"region": ["V1"]})),
    ]
    found = model_index(["m2", "m1", "m3"], drawings)
    assert found == {"models": ["m1", "m2", "m3"], "figures": {"a": [0, 1]}}


def test_a_claims_table_joins_intervals_and_leaves_out_what_says_nothing():
    table = pl.DataFrame(
        {
            "dataset": ["scenes", "story"], "rho": [0.31234, None], "rho_low": [0.1, None],
            "rho_high": [0.5, None], "low": [None, -0.25], "high": [None, 0.5],
            "p_spin": [0.0004, 0.3], "p_reason": ["", "too few"], "n_models": [1200, 3],
            "empty": [None, None],
        }
    )  # fmt: skip
    found = claim_table(table, "Caption")
    assert found.columns == (
        *("dataset", "rho", "rho 95% CI", "95% CI", "p spin", "p reason", "models"),
    )
    assert found.rows == [
        ("scenes", "0.312", "[0.100, 0.500]", "–", "0.0004", "–", "1,200"),
        ("story", "–", "–", "[−0.250, 0.500]", "0.30", "too few", "3"),
    ]
    assert (found.total, found.size) == (2, "2 rows")


def test_claims_stand_in_their_sections_and_empty_ones_nowhere():
    some = pl.DataFrame({"dataset": ["scenes"], "p": [0.1]})
    found = claim_tables({"mixed": some, "leads": some, "gradient": some.clear()})
    assert {name: len(tables) for name, tables in found.items()} == {
        "performance": 1, "training": 1,
    }  # fmt: skip


def test_methods_speak_of_the_claims_that_were_tested_and_of_no_other():
    some = pl.DataFrame({"x": [1]})
    statistics = {"permutations": 321, "bootstraps": 654, "seed": 7, "ceiling_threshold": 0.12}
    none = " ".join(claim_methods(statistics, {}, {}))
    assert "0.12" in none and "seed 7" in none
    assert "Pearson" not in none and "Order in training" not in none
    tables = {"correlations": some, "leads": some.clear(), "gradient": some}
    words = " ".join(claim_methods(statistics, {"permutations": 9}, tables))
    assert "321 draws" in words and "654 times" in words and "spin test" in words
    assert "Order in training" not in words


def test_what_extraction_found_wanting_is_listed(inputs):
    page = render_report(inputs, drawings=(), answers=())
    assert "Inputs and features found wanting" not in page
    table = inputs.tables["coverage"]
    first = table.row(0, named=True)
    where = (pl.col("model") == first["model"]) & (pl.col("dataset") == first["dataset"])
    wanting = {"unknown": 7, "truncated": 41, "constant": 16}
    changed = table.with_columns(
        pl.when(where).then(count).otherwise(pl.col(name)).alias(name)
        for name, count in wanting.items()
    )
    told = dataclasses.replace(inputs, tables=dict(inputs.tables) | {"coverage": changed})
    found = told.covered.counted
    assert found.select("model", "dataset").rows() == [(first["model"], first["dataset"])]
    assert found.select(*wanting, "features").row(0) == (7, 41, 16, 64)
    page = render_report(told, drawings=(), answers=())
    assert "Inputs and features found wanting" in page and "16 of 64" in page
