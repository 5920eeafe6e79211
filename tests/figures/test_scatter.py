"""Performance against alignment: every model can be named and found."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import planted
from convergent.figures import draw_figure
from convergent.figures.scatter import _line, notable


@pytest.fixture(scope="module")
def tables():
    return planted.claim_tables(planted.planted_study(families=5))


@pytest.fixture(scope="module")
def drawing(tables):
    return draw_figure("performance-alignment", tables)[0]


def test_each_point_carries_its_model_for_search_and_hover(drawing):
    figure = json.loads(drawing.plotly_json())
    named = [t for t in figure["data"] if t.get("customdata")]
    points = drawing.data.filter(pl.col("performance").is_not_null())
    assert sorted(name for t in named for name in t["customdata"]) == sorted(points["model"])
    for trace in named:
        assert len(trace["customdata"]) == len(trace["x"]) == len(trace["text"])
        for name, text in zip(trace["customdata"], trace["text"], strict=True):
            assert f"<b>{name}</b>" in text


def test_models_trained_on_coco_are_ringed_and_counted(drawing):
    figure = json.loads(drawing.plotly_json())
    wide = 0
    for trace in figure["data"]:
        width = trace.get("marker", {}).get("line", {}).get("width")
        if isinstance(width, list):
            for on, text in zip([w > 1 for w in width], trace["text"], strict=True):
                assert on == ("trained on COCO" in text)
                wide += on
    assert wide == 5
    assert "Ringed: 5 models trained on COCO" in drawing.caption
    assert "trained on COCO (ringed)" in [trace.get("name") for trace in figure["data"]]


def test_the_print_names_the_extremes(drawing):
    trained = drawing.data.filter(pl.col("role") == "trained")
    best = trained.sort("alignment")["model"][-1]
    texts = [text.get_text() for text in drawing.static.axes[0].texts]
    assert best in texts
    assert len(set(texts)) == len(texts)


def test_notable_points_are_the_ends_and_then_the_farthest_from_the_line():
    x = np.arange(20.0)
    y = x.copy()
    y[7] += 6
    points = pl.DataFrame({"performance": x, "alignment": y})
    line = np.stack([x, x, x, x])
    assert notable(points, line, count=3) == [19, 0, 7]
    assert notable(points.clear(), None) == []


def test_the_band_is_that_of_as_many_independent_models():
    rng = np.random.default_rng(0)
    x = rng.normal(size=60)
    points = pl.DataFrame({"performance": x, "alignment": x + rng.normal(size=60)})
    all_of_them, few = _line(points, 60.0), _line(points, 12.0)
    assert np.allclose(all_of_them[1], few[1])
    assert np.all(few[3] - few[2] > 2 * (all_of_them[3] - all_of_them[2]))


def test_the_caption_says_the_test_and_its_interval(drawing, tables):
    row = tables["correlations"].filter(
        (pl.col("scope") == "all") & (pl.col("choice") == "best") & (pl.col("measure") == "score")
    )
    assert "both run in families" in drawing.caption
    assert f"count as {row['n_effective'][0]:.0f} independent ones" in drawing.caption
