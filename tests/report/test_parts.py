"""Cards, outline and figures of the page, one by one."""

from __future__ import annotations

import dataclasses

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from convergent.figures import Drawing
from convergent.report import QUESTIONS, Answer, report_tables
from convergent.report._cards import cards, vitals
from convergent.report._embed import LARGEST_SVG, embed, model_index
from convergent.report._outline import outline
from convergent.report._sections import Table


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
