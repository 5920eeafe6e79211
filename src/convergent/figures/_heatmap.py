"""Where in a model, and where in the brain: depth by region."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from ._drawing import Drawing, Tables, figure_of
from ._style import layout, new_figure

DEPTHS = np.linspace(0.0, 1.0, 9)
MAXIMUM_REGIONS = 40
MAXIMUM_MODELS = 12


@figure_of("layers", "model_alignment")
def layer_region(tables: Tables) -> list[Drawing]:
    """Heat map of alignment over relative depth and region: all models, then single ones."""
    rows = tables["layers"]
    drawings = []
    for (dataset, modality), part in rows.sort("dataset", "modality").group_by(
        ["dataset", "modality"], maintain_order=True
    ):
        drawings.append(_draw(str(dataset), str(modality), part, tables["model_alignment"]))
    return drawings


def depth_by_region(rows: pl.DataFrame, *, place: str) -> pl.DataFrame:
    """Average models at equal relative depths.

    Models have other layers at other depths: were each depth's layers averaged as they come, the
    mean would jump with the models that happen to have one there. Every model counts at every
    depth instead, its scores interpolated linearly between its layers.

    Parameters
    ----------
    rows : DataFrame
        Layers' scores of one data set and modality.
    place : {"region", "network"}
        Column of the places.

    Returns
    -------
    DataFrame
        model (``mean of all models`` or a key), place, order, layer_index, layer, depth, score.
    """
    order = pl.col("axis_position").mean()
    per_model = (
        rows.group_by("model", "layer_index", "layer", "depth", pl.col(place).alias("place"))
        .agg(score=pl.col("score").fill_nan(None).mean(), order=order)
        .sort("model", "place", "layer_index")
    )
    profiles = []
    for (_, name), part in per_model.drop_nulls("score").group_by(
        ["model", "place"], maintain_order=True
    ):
        profiles.append(
            pl.DataFrame(
                {
                    "place": name,
                    "order": part["order"][0],
                    "layer_index": np.arange(DEPTHS.size),
                    "depth": DEPTHS,
                    "score": np.interp(DEPTHS, part["depth"], part["score"]),
                },
                schema_overrides={"place": pl.String, "order": pl.Float64},
            )
        )
    averaged = (
        pl.concat(profiles)
        .group_by("layer_index", "depth", "place")
        .agg(pl.col("score").mean(), pl.col("order").first())
        .with_columns(
            model=pl.lit("mean of all models"), layer=pl.format("depth {}", pl.col("depth"))
        )
    )
    columns = ["model", "place", "order", "layer_index", "layer", "depth", "score"]
    index = pl.col("layer_index").cast(pl.Int64)
    return pl.concat(
        [table.with_columns(index).select(columns) for table in (averaged, per_model)]
    ).sort("model", "layer_index", "order", "place", nulls_last=True)


def _draw(dataset: str, modality: str, rows: pl.DataFrame, averaged: pl.DataFrame) -> Drawing:
    regions = rows["region"].n_unique()
    place = "region" if regions <= MAXIMUM_REGIONS else "network"
    best = (
        averaged.filter(
            (pl.col("dataset") == dataset)
            & (pl.col("modality") == modality)
            & (pl.col("scope") == "all")
            & (pl.col("choice") == "best")
            & (pl.col("role") == "trained")
            & pl.col("final")
        )
        .sort("alignment", "model", descending=[True, False], nulls_last=True)["model"]
        .to_list()
    )
    shown = best[:MAXIMUM_MODELS]
    table = depth_by_region(rows, place=place)
    labels = ("mean of all models", *shown)
    table = table.filter(pl.col("model").is_in(labels))
    grids = [_grid(table, label) for label in labels]
    models, subjects = rows["model"].n_unique(), max(rows["n_subjects"].to_list())
    caption = (
        f"Alignment (primary metric) of each layer in each {place}, data set {dataset}: mean over "
        f"{models} final trained {modality} models (each interpolated between its layers) and "
        f"{subjects} subjects at {DEPTHS.size} relative depths (0 first layer, 1 last), or one "
        "model's layers. "
        + (f"{regions} regions are averaged by network. " if place == "network" else "")
        + (f"The {len(shown)} best-aligned models can be chosen. " * (len(best) > len(shown)))
        + f"{place.capitalize()}s run from sensory to associative where the atlas says so. "
        "No test is made here; every layer is shown, none chosen."
    )  # fmt: skip
    top = max(grids[0].cells, key=lambda item: item[2])
    return Drawing(
        name=f"layer-region-{dataset}-{modality}",
        figure="layer-region",
        title=f"Which layer, which {place}? ({dataset})",
        caption=caption,
        alt=f"Heat map of alignment by relative depth and {place}. Highest mean r "
        f"{top[2]:.2f} in {top[0]} at {top[1]}.",
        data=table,
        static=_static(grids[0], place),
        interactive=_interactive(grids, labels, place),
        selector=labels,
    )


class _Grid:
    """One model's scores as a matrix: rows layers, columns places."""

    def __init__(self, table: pl.DataFrame) -> None:
        by_place = table.group_by("place").agg(pl.col("order").first())
        self.places = by_place.sort("order", "place", nulls_last=True)["place"].to_list()
        layers = table.select("layer_index", "layer").unique().sort("layer_index")
        self.index = layers["layer_index"].to_list()
        self.layers = layers["layer"].to_list()
        self.values = np.full((len(self.index), len(self.places)), np.nan)
        at = {name: i for i, name in enumerate(self.places)}
        up = {index: i for i, index in enumerate(self.index)}
        self.cells: list[tuple[str, str, float]] = []
        for row in table.iter_rows(named=True):
            if row["score"] is not None:
                self.values[up[row["layer_index"]], at[row["place"]]] = row["score"]
                self.cells.append((row["place"], row["layer"], row["score"]))


def _grid(table: pl.DataFrame, model: str) -> _Grid:
    return _Grid(table.filter(pl.col("model") == model))


def _static(grid: _Grid, place: str) -> Figure:
    figure, axes = new_figure(max(5.0, 0.28 * len(grid.places) + 2.2), 4.0)
    image = axes.imshow(grid.values, origin="lower", aspect="auto", cmap="viridis")
    axes.set_xticks(range(len(grid.places)), grid.places, rotation=60, ha="right", fontsize=8)
    ticks = range(len(grid.index))
    axes.set_yticks(ticks, [f"{DEPTHS[index]:.2f}" for index in grid.index], fontsize=8)
    axes.set_xlabel(place)
    axes.set_ylabel("relative depth")
    figure.colorbar(image, ax=axes, label="mean r")
    return figure


def _interactive(grids: list[_Grid], labels: tuple[str, ...], place: str) -> go.Figure:
    figure = go.Figure()
    low = min(0.0, *(float(np.nanmin(grid.values)) for grid in grids))
    high = max(float(np.nanmax(grid.values)) for grid in grids)
    for i, (grid, label) in enumerate(zip(grids, labels, strict=True)):
        names = [[layer] * len(grid.places) for layer in grid.layers]
        figure.add_heatmap(
            z=_nullable(grid.values), x=grid.places, y=grid.layers, text=names,
            visible=i == 0, colorscale="Viridis", zmin=low, zmax=high, name=label,
            colorbar={"title": {"text": "r"}, "thickness": 12},
            hovertemplate="%{x}<br>%{text}<br>r %{z:.3f}<extra></extra>",
        )  # fmt: skip
    return layout(
        figure,
        height=460,
        margin={"l": 60, "r": 8, "t": 36, "b": 90},
        xaxis={"title": {"text": place}, "tickangle": -60, "type": "category"},
        yaxis={"title": {"text": "first layer to last"}, "type": "category", "automargin": True},
    )


def _nullable(values: np.ndarray) -> list[list[Any]]:
    return [[None if np.isnan(v) else float(v) for v in row] for row in values]
