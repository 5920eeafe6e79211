"""The size of a page of 600 models, with heat maps, surfaces and long tables."""

from __future__ import annotations

import re

import numpy as np
import plotly.graph_objects as go
import polars as pl
import pytest
from matplotlib.figure import Figure

import planted
from convergent.figures import Drawing, draw_figure
from convergent.report import render_report, report_tables

MODELS, REGIONS, MAPS = 600, 360, 8


@pytest.fixture(scope="module")
def large():
    study = planted.planted_study(families=25, per_family=12, subjects=1, layers=1)
    return planted.report_inputs(study)


def heat_map(rng):
    """Scores of every model in every region: numbers that do not compress."""
    scores = rng.normal(0.2, 0.1, (MODELS, REGIONS))
    models = [f"model-{i}" for i in range(MODELS)]
    figure = go.Figure(go.Heatmap(z=scores, y=models))
    figure.update_layout(height=900)
    static = Figure(figsize=(6, 6))
    static.subplots().imshow(scores)
    data = pl.DataFrame({"model": models, "score": scores[:, 0]})
    return Drawing("heat", "heat", "Heat map", "Caption.", "Alt.", data, static, figure)


def surface(rng, name):
    """A map of the size of the cortex: each area its own value, all maps on one mesh."""
    mesh = np.random.default_rng(0)
    values = rng.normal(0.2, 0.1, REGIONS)
    figure = go.Figure()
    for _ in range(2):
        x, y, z = mesh.normal(0, 40, (3, 5000)).round(1)
        i, j, k = mesh.integers(0, 5000, (3, 10000))
        areas = mesh.integers(0, REGIONS, 5000)
        words = [f"area {n} r {values[n]:.3f}" for n in areas]
        figure.add_mesh3d(x=x, y=y, z=z, i=i, j=j, k=k, text=words,
                          intensity=values[areas[i]], intensitymode="cell")  # fmt: skip
    figure.update_layout(height=460)
    static = Figure(figsize=(7, 5))
    static.subplots().imshow(values.reshape(20, 18))
    data = pl.DataFrame({"region": ["a"] * REGIONS, "score": values})
    return Drawing(name, "surface", "Map", "Caption.", "Alt.", data, static, figure, lazy=True)


@pytest.mark.slow
def test_a_page_of_600_models_stays_below_15_megabytes(large):
    assert large.tables["models"].filter(pl.col("source") != "baseline").height == MODELS
    rng = np.random.default_rng(1)
    tables = report_tables(large)
    drawings = draw_figure("performance-alignment", tables)
    drawings.append(heat_map(rng))
    drawings += [surface(rng, f"map-{i}") for i in range(MAPS)]
    page = render_report(large, tables=tables, drawings=drawings)
    assert len(page.encode()) < 15e6
    outside = re.sub(r"<script\b.*?</script>|src=\"data:[^\"]*\"", "", page, flags=re.S)
    assert len(re.findall(r"<[a-z]", outside)) < 6000, "elements before a script runs"
    maps = re.findall(r'id="data-map-\d+">([^<]*)<', page)
    assert len(maps) == MAPS and max(map(len, maps)) < 0.1e6, "maps share one mesh"
