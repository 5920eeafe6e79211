"""One bar a region, for data sets whose regions no surface shows."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from convergent.figures.brain import load_hemispheres, on_surface
from convergent.figures.style import (
    Drawing,
    FigureError,
    Tables,
    figure_of,
    layout,
    new_figure,
    tidy,
)

MAXIMUM_BARS = 120
_UNNAMED = "no network named"


@figure_of("modality_profile")
def region_bars(tables: Tables) -> list[Drawing]:
    """Mean alignment of the trained models in each region, for regions that are not HCP-MMP1's."""
    profile = tables["modality_profile"].filter(pl.col("choice") == "best")
    groups = profile.drop_nulls("score").group_by(["dataset", "modality"], maintain_order=True)
    return [
        _draw(str(dataset), str(modality), rows)
        for (dataset, modality), rows in groups
        if not _painted(rows)
    ]


def _painted(rows: pl.DataFrame) -> bool:
    """Whether the cortical surface shows these regions."""
    try:
        names = load_hemispheres()[0].names
    except FigureError:
        return False
    return on_surface(list(rows.select("region", "hemisphere").iter_rows()), names)


def bar_table(rows: pl.DataFrame) -> pl.DataFrame:
    """Regions in order of position, then network and name; of too many, those with most signal.

    Parameters
    ----------
    rows : DataFrame
        region, network, score, score_sd, noise_ceiling, axis_position.

    Returns
    -------
    DataFrame
        region, network, score, score_sd (over models), ceiling (in r; null where
        unknown), n_models.
    """
    table = rows.select(
        "region",
        pl.col("network").fill_null("").replace("", _UNNAMED),
        "score",
        pl.col("score_sd").fill_nan(None),
        "n_models",
        ceiling=pl.col("noise_ceiling").fill_nan(None).clip(0).sqrt(),
        order=pl.col("axis_position").fill_nan(None),
    )
    if table.height > MAXIMUM_BARS:  # chosen by the data, never by a model's score
        table = table.sort("ceiling", "region", descending=[True, False], nulls_last=True)
        table = table.head(MAXIMUM_BARS)
    return table.sort("order", "network", "region", nulls_last=True).drop("order")


def _draw(dataset: str, modality: str, rows: pl.DataFrame) -> Drawing:
    table = bar_table(rows)
    best = table.sort("score", "region", descending=[True, False]).row(0, named=True)
    left_out = rows.height - table.height
    has_ceiling = table["ceiling"].null_count() < table.height
    caption = (
        f"Mean alignment (r, best layer) of {max(table['n_models'].to_list())} final trained "
        f"{modality} models in each of {table.height} regions of data set {dataset}; whiskers: "
        "standard deviation over models. "
        + (
            "Marks: noise ceiling, square root of the explainable variance. "
            if has_ceiling
            else "The data allow no noise ceiling. "
        )
        + (f"{left_out} regions with lower noise ceilings are not shown. " if left_out else "")
        + "In order of their position where it is known, then by network. Regions are not samples: "
        "no test across them."
    )
    return Drawing(
        name=f"region-bars-{dataset}-{modality}",
        figure="region-bars",
        title=f"Alignment by region ({dataset})",
        caption=caption,
        alt=f"Bars of alignment in {table.height} regions; highest in {best['region']} "
        f"(r {best['score']:.2f}).",
        data=table,
        static=_static(table),
        interactive=_interactive(table),
    )


def _static(table: pl.DataFrame) -> Figure:
    figure, axes = new_figure(6.4, max(2.4, 0.17 * table.height + 1.2))
    y = np.arange(table.height)[::-1]
    scores = table["score"].to_numpy()
    spread = [0.0 if sd is None else sd for sd in table["score_sd"].to_list()]
    axes.barh(y, scores, height=0.72, color="#0072B2", xerr=spread,
              error_kw={"elinewidth": 0.8, "ecolor": "#374151"})  # fmt: skip
    ceilings = [math.nan if value is None else value for value in table["ceiling"].to_list()]
    axes.plot(ceilings, y, "|", color="#111827", markersize=8, label="noise ceiling")
    axes.axvline(0, color="#111827", linewidth=0.7)
    axes.set_yticks(y, table["region"].to_list(), fontsize=7)
    axes.set_ylim(-0.8, table.height - 0.2)
    axes.set_xlabel("alignment (r)")
    if not all(math.isnan(value) for value in ceilings):
        figure.legend(frameon=False, fontsize=8, loc="outside upper center")
    tidy(axes)
    return figure


def _interactive(table: pl.DataFrame) -> go.Figure:
    figure = go.Figure()
    places = table["region"].to_list()
    figure.add_bar(
        y=places, x=table["score"].to_list(), orientation="h", marker={"color": "#0072B2"},
        error_x={"array": table["score_sd"].to_list(), "thickness": 1},
        name="trained models (mean)",
        text=table["network"].to_list(), textposition="none",
        hovertemplate="%{y}, %{text}<br>r %{x:.3f}<extra></extra>",
    )  # fmt: skip
    if table["ceiling"].null_count() < table.height:
        figure.add_scatter(
            y=places, x=table["ceiling"].to_list(), mode="markers", name="noise ceiling",
            marker={"symbol": "line-ns-open", "size": 10, "color": "#111827"},
            hovertemplate="ceiling r %{x:.2f}<extra></extra>",
        )  # fmt: skip
    return layout(
        figure,
        height=max(260, 18 * table.height + 130),
        margin={"l": 110, "r": 8, "t": 48, "b": 50},
        yaxis={"autorange": "reversed", "tickfont": {"size": 10}},
        xaxis={"title": {"text": "alignment (r)"}, "zeroline": True, "zerolinecolor": "#111827"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )
