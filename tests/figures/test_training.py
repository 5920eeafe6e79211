"""Figures of training: curves with their onsets, and lags."""

from __future__ import annotations

import polars as pl
import pytest

import planted
from convergent.figures import FigureError, draw_figure


@pytest.fixture(scope="module")
def tables():
    return planted.claim_tables(planted.planted_study(per_family=1))


def test_onsets_are_marked_on_the_curves(tables):
    drawings = draw_figure("trajectories", tables)
    assert {d.name for d in drawings} == {"trajectories-scenes-top1", "trajectories-story-top1"}
    for drawing in drawings:
        assert "half of each curve's own range" in drawing.caption
        marked = [t for t in drawing.interactive.data if t.marker.symbol == "circle-open"]
        half = tables["onsets"].filter(
            (pl.col("share") == 0.5)
            & (pl.col("choice") == "best")
            & pl.col("position").is_not_null()
            & (pl.col("dataset") == drawing.data["dataset"][0])
        )
        assert len(marked) == len(half) > 0
        assert drawing.svg() and drawing.plotly_json() != "null"


def test_lags_are_drawn_with_their_interval_and_null(tables):
    leads = tables["leads"].with_columns(
        lag=pl.lit(0.4), low=pl.lit(0.1), high=pl.lit(0.7), p=pl.lit(0.01),
        null_low=pl.lit(-0.2), null_high=pl.lit(0.2),
    )  # fmt: skip
    (first, _) = draw_figure("leads", {"leads": leads})
    assert first.name == "leads-scenes-top1"
    assert "no order is claimed from shares of right answers" in first.caption
    assert "0.40 decades, interval [0.10, 0.70], p 0.01" in first.alt
    assert len(first.interactive.data) == 6  # a null and lags for each of three shares
    assert first.svg()
    with pytest.raises(FigureError, match="nothing to show"):
        draw_figure("leads", {"leads": leads.clear()})


def test_many_models_are_cut_and_the_caption_says_so(tables):
    row = tables["leads"].filter(pl.col("model") == "all").with_columns(
        lag=pl.lit(0.4), low=pl.lit(0.1), high=pl.lit(0.7), null_low=pl.lit(-0.2),
        null_high=pl.lit(0.2),
    )  # fmt: skip
    many = [row, *(row.with_columns(model=pl.lit(f"m{k:02d}")) for k in range(50))]
    drawing = draw_figure("leads", {"leads": pl.concat(many)})[0]
    assert "10 further models are in the data" in drawing.caption
    assert drawing.data["model"].n_unique() == 51
