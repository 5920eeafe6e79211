"""The same question asked of other metrics, and of the scale at which kernels look."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from convergent.figures.style import (
    COLOURS,
    GREY,
    Drawing,
    Tables,
    figure_of,
    interval,
    layout,
    new_figure,
    number,
    tidy,
)


def metric_label(metric: str, scale: float | None) -> str:
    """Name of a metric as figures and tables write it."""
    return metric if scale is None else f"{metric}, scale {scale:.2g}"


@figure_of("metric_correlations")
def metrics(tables: Tables) -> list[Drawing]:
    """Performance-alignment correlation by metric, one drawing a data set."""
    rows = tables["metric_correlations"].filter(
        (pl.col("choice") == "best")
        & (pl.col("measure") == "score")
        & pl.col("r").is_not_null()
        & (pl.col("metric").n_unique().over("dataset", "benchmark") > 1)
    )
    return [
        _forest(str(dataset), str(benchmark), part)
        for (dataset, benchmark), part in rows.sort(
            "dataset", "benchmark", "metric", "scale"
        ).group_by(["dataset", "benchmark"], maintain_order=True)
    ]


def _forest(dataset: str, benchmark: str, rows: pl.DataFrame) -> Drawing:
    data = rows.select(
        "metric", "scale", "n_models", "n_families", "r", "r_low", "r_high",
        "family_low", "family_high", "rho", "p",
    )  # fmt: skip
    labels = [metric_label(m, s) for m, s in data.select("metric", "scale").iter_rows()]
    models = data["n_models"].to_list()
    caption = (
        f"Pearson r between {benchmark} and alignment over final trained models in data set "
        f"{dataset} ({_span(models)} models), by the "
        "metric of alignment; layers chosen on other samples than those scored. Wide pale bars: "
        "95 % interval of a bootstrap of families, where there are enough; thin: Fisher's z. "
        "Metrics are not independent tests of the question."
    )
    best = data.sort("r", descending=True).row(0, named=True)
    return Drawing(
        name=f"metrics-{dataset}-{benchmark}",
        figure="metrics",
        title=f"By metric ({dataset})",
        caption=caption,
        alt=f"Dot plot of r by metric; highest {number(best['r'])} for {best['metric']}.",
        data=data,
        static=_forest_static(data, labels),
        interactive=_forest_interactive(data, labels),
    )


def _span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _forest_static(data: pl.DataFrame, labels: list[str]) -> Figure:
    figure, axes = new_figure(6.4, 1.2 + 0.26 * len(labels))
    axes.axvline(0, color=GREY, linewidth=0.8)
    for at, row in enumerate(data.iter_rows(named=True)):
        y = len(labels) - 1 - at
        for low, high, width, colour, above in (
            (row["family_low"], row["family_high"], 5.0, COLOURS[4], 2),
            (row["r_low"], row["r_high"], 1.4, COLOURS[0], 3),
        ):
            if low is not None and high is not None:
                axes.plot([low, high], [y, y], color=colour, linewidth=width, zorder=above,
                          solid_capstyle="butt")  # fmt: skip
        axes.plot(row["r"], y, "o", color=COLOURS[0], markersize=5, zorder=4)
    axes.set_yticks(range(len(labels)), labels[::-1], fontsize=8)
    axes.set_xlim(-1.05, 1.05)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlabel("r (performance, alignment)")
    tidy(axes)
    return figure


def _forest_interactive(data: pl.DataFrame, labels: list[str]) -> go.Figure:
    words = [
        f"{label}<br>r {number(row['r'])}, {row['n_models']} models"
        f"<br>families {interval(row['family_low'], row['family_high'])}"
        for label, row in zip(labels, data.iter_rows(named=True), strict=True)
    ]
    r = data["r"].to_list()
    figure = go.Figure()
    for label, low, high in zip(labels, data["family_low"], data["family_high"], strict=True):
        if low is not None and high is not None:
            figure.add_scatter(
                x=[low, high], y=[label, label], mode="lines", hoverinfo="skip", showlegend=False,
                line={"color": COLOURS[4], "width": 7},
            )  # fmt: skip
    error: dict[str, Any] = {
        "type": "data", "symmetric": False, "color": COLOURS[0],
        "array": [(h if h is not None else v) - v for h, v in zip(data["r_high"], r, strict=True)],
        "arrayminus": [
            v - (low if low is not None else v) for low, v in zip(data["r_low"], r, strict=True)
        ],
    }  # fmt: skip
    figure.add_scatter(
        x=r, y=labels, mode="markers", error_x=error, text=words, showlegend=False,
        marker={"size": 9, "color": COLOURS[0]}, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    return layout(
        figure,
        height=130 + 24 * len(labels),
        margin={"l": 8, "r": 16, "t": 16, "b": 48},
        xaxis={"title": {"text": "r (performance, alignment)"}, "range": [-1.05, 1.05]},
        yaxis={
            "range": [len(labels) - 0.5, -0.5],
            "automargin": True,
            "dtick": 1,
            "tickfont": {"size": 11},
        },
    )


@figure_of("scale_profile")
def scales(tables: Tables) -> list[Drawing]:
    """Alignment over the representational scale, one line a network (or region)."""
    rows = tables["scale_profile"].filter(pl.col("scale").n_unique().over("dataset", "metric") > 1)
    drawings = []
    for part in rows.partition_by(["dataset", "metric"], maintain_order=True):
        drawings.append(_sweep(part["dataset"][0], part["metric"][0], part))
    return drawings


def _sweep(dataset: str, metric: str, rows: pl.DataFrame) -> Drawing:
    known = rows["calibrated"].is_not_null().any()
    column, label = ("calibrated", "calibrated score") if known else ("score", "score")
    places = rows["place"].unique().sort().to_list()
    models = max(rows["n_models"].to_list())
    caption = (
        f"Mean over {models} final trained models of {metric} by representational "
        f"scale, the kernel's bandwidth over the median distance, in data set {dataset}. "
        + (
            "Calibrated: 0 is the mean of the permutation null, 1 an equal representation. "
            if known
            else "Without permutations, so not calibrated. "
        )
        + "Layers chosen on one half of the stimuli and scored on the other. Descriptive; no test."
    )
    figure, axes = new_figure(6.4, 4.0)
    plot = go.Figure()
    for i, place in enumerate(places):
        part = rows.filter(pl.col("place") == place).sort("scale")
        colour = COLOURS[i % len(COLOURS)]
        dash = ("-", "--", ":", "-.")[i // len(COLOURS) % 4]
        x, y = part["scale"].to_list(), part[column].to_list()
        axes.plot(x, y, dash, color=colour, marker="o", markersize=3, linewidth=1.4, label=place)
        plot.add_scatter(
            x=x, y=y, mode="lines+markers", name=place, line={"color": colour},
            hovertemplate=f"<b>{place}</b><br>scale %{{x:.2f}}<br>%{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xscale("log")
    ticks = rows["scale"].unique().sort().to_list()
    shown = ticks[:: max(1, len(ticks) // 6)]
    axes.set_xticks(shown, [f"{tick:.2g}" for tick in shown])
    axes.minorticks_off()
    axes.set_xlabel("representational scale (bandwidth / median distance)")
    axes.set_ylabel(f"{metric} ({label})")
    tidy(axes)
    figure.legend(frameon=False, fontsize=7, loc="outside right center")
    return Drawing(
        name=f"scales-{dataset}-{metric}",
        figure="scales",
        title=f"Representational scale ({dataset}, {metric})",
        caption=caption,
        alt=f"Lines of {label} over scale for {len(places)} networks or regions.",
        data=rows,
        static=figure,
        interactive=layout(
            plot,
            xaxis={"title": {"text": "scale"}, "type": "log"},
            yaxis={"title": {"text": label}},
        ),
    )


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
