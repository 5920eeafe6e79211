"""Performance against alignment, every model named."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure
from scipy import stats

from ._registry import Drawing, Tables, register_figure
from ._style import GREY, OTHERS, family_marks, layout, new_figure, shown_families, tidy
from ._words import interval, number, p_value


@register_figure(
    "performance-alignment",
    requires=("model_alignment", "performance", "models", "correlations"),
)
def performance_scatter(tables: Tables) -> list[Drawing]:
    """Scatter of every final model, with random twins hollow and controls as lines."""
    headline = tables["correlations"].filter(
        (pl.col("scope") == "all") & (pl.col("choice") == "best") & (pl.col("measure") == "score")
    )
    return [
        drawing
        for row in headline.iter_rows(named=True)
        if (drawing := _draw(row, tables)) is not None
    ]


def scatter_points(tables: Tables, dataset: str, modality: str, benchmark: str) -> pl.DataFrame:
    """Points of one scatter.

    Returns
    -------
    DataFrame
        model, family, checkpoint, role (trained, random or control), performance (null where
        none was measured), alignment, alignment_normalised, parameters.
    """
    scores = (
        tables["performance"]
        .filter(pl.col("benchmark") == benchmark)
        .select("model", "checkpoint", performance="score")
    )
    sizes = tables["models"].select("model", "parameters")
    shown = (pl.col("final") & pl.col("role").is_in(["trained", "control"])) | (
        pl.col("role") == "random"
    )
    return (
        tables["model_alignment"]
        .filter(
            (pl.col("dataset") == dataset)
            & (pl.col("modality") == modality)
            & (pl.col("scope") == "all")
            & (pl.col("choice") == "best")
            & shown
        )
        .join(scores, on=["model", "checkpoint"], how="left")
        .join(sizes, on="model", how="left")
        .select(
            *("model", "family", "checkpoint", "role", "performance"),
            *("alignment", "alignment_normalised", "parameters"),
        )
        .sort("role", "family", "model", "checkpoint", descending=[True, False, False, False])
    )


def _draw(row: dict[str, Any], tables: Tables) -> Drawing | None:
    points = scatter_points(tables, row["dataset"], row["modality"], row["benchmark"])
    trained = points.filter((pl.col("role") == "trained") & pl.col("performance").is_not_null())
    if trained.is_empty():
        return None
    # Without a correlation there is no line either: it would say what was withheld.
    line = None if row["r"] is None else _line(trained)
    twins = points.filter((pl.col("role") == "random") & pl.col("performance").is_not_null())
    unplaced = points.filter((pl.col("role") == "random") & pl.col("performance").is_null()).height
    caption = (
        f"Performance ({row['benchmark']}) against brain alignment (mean r over regions above the "
        f"noise-ceiling threshold, then over {row['n_subjects']} subjects; best layer chosen on "
        f"training folds) for {row['n_models']} {row['modality']} models of {row['n_families']} "
        f"families, data set {row['dataset']}. "
        + (
            f"Pearson r = {number(row['r'])}, 95% CI {interval(row['r_low'], row['r_high'])} "
            f"(Fisher), {interval(row['family_low'], row['family_high'])} (families resampled), "
            f"permutation p = {p_value(row['p'])}. "
            if row["r"] is not None
            else f"No correlation: {row['reason']}. "
        )
        + ("" if line is None else "Line: least squares with its 95% band. ")
        + "Hollow: the same architectures with random "
        "weights, not in r. Dashed: controls without weights."
        + (
            f" {unplaced} random twins without a measured performance are not placed."
            * bool(unplaced)
        )
    )
    name = f"performance-alignment-{row['dataset']}-{row['benchmark']}"
    return Drawing(
        name=name,
        figure="performance-alignment",
        title=f"Do better {row['modality']} models align better? ({row['dataset']})",
        caption=caption,
        alt=(
            f"Scatter of {trained.height} trained models and {twins.height} random twins: "
            f"{row['benchmark']} on the horizontal axis, brain alignment on the vertical axis; "
            f"Pearson r {number(row['r'])}."
        ),
        data=points,
        static=_static(points, row, line),
        interactive=_interactive(points, row, line),
    )


def _line(points: pl.DataFrame) -> np.ndarray | None:
    """Least-squares line with its 95% band: rows x, fit, low, high."""
    x = points["performance"].to_numpy().astype(float)
    y = points["alignment"].to_numpy().astype(float)
    if len(x) < 3 or np.ptp(x) < 1e-12:
        return None
    fit = stats.linregress(x, y)
    grid = np.linspace(x.min(), x.max(), 50)
    middle = fit.intercept + fit.slope * grid
    residual = y - fit.intercept - fit.slope * x
    spread = np.sqrt(residual @ residual / (len(x) - 2))
    error = spread * np.sqrt(1 / len(x) + (grid - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    half = stats.t.ppf(0.975, len(x) - 2) * error
    return np.stack([grid, middle, middle - half, middle + half])


def _static(points: pl.DataFrame, row: dict[str, Any], line: np.ndarray | None) -> Figure:
    figure, axes = new_figure()
    families = points.filter(pl.col("role") == "trained")["family"].to_list()
    marks, shown = family_marks(families), shown_families(families)
    if line is not None:
        axes.plot(line[0], line[1], color="#374151", linewidth=1.2)
        axes.fill_between(line[0], line[2], line[3], color="#9ca3af", alpha=0.25, linewidth=0)
    labelled: set[str] = set()
    for point in points.iter_rows(named=True):
        if point["role"] == "control":
            axes.axhline(point["alignment"], color=GREY, linestyle="--", linewidth=0.9)
            place = (0.99, point["alignment"])  # share of the width, value
            axes.annotate(
                point["model"], place, xycoords=("axes fraction", "data"), xytext=(0, -2),
                textcoords="offset points", ha="right", va="top", fontsize=7, color=GREY,
            )  # fmt: skip
            continue
        if point["performance"] is None or point["family"] not in marks:
            continue
        mark, trained = marks[point["family"]], point["role"] == "trained"
        label = shown[point["family"]] if trained else "random weights"
        axes.scatter(
            point["performance"], point["alignment"], s=42 if trained else 26,
            marker=mark.marker, facecolor=mark.colour if trained else "none",
            edgecolor="white" if trained else mark.colour, linewidth=0.5 if trained else 0.9,
            label=None if label in labelled else label, zorder=3,
        )  # fmt: skip
        labelled.add(label)
    axes.set_xlabel(f"performance: {row['benchmark']}")
    axes.set_ylabel("brain alignment (mean r)")
    tidy(axes)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _interactive(points: pl.DataFrame, row: dict[str, Any], line: np.ndarray | None) -> go.Figure:
    figure = go.Figure()
    families = points.filter(pl.col("role") == "trained")["family"].to_list()
    marks, shown = family_marks(families), shown_families(families)
    if line is not None:
        figure.add_scatter(
            x=np.concatenate([line[0], line[0][::-1]]),
            y=np.concatenate([line[2], line[3][::-1]]),
            fill="toself", fillcolor="rgba(107,114,128,0.15)", line={"width": 0},
            hoverinfo="skip", showlegend=False, mode="lines",
        )  # fmt: skip
        figure.add_scatter(
            x=line[0], y=line[1], mode="lines", line={"color": "#374151", "width": 2},
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
    placed = points.filter(pl.col("performance").is_not_null())
    for label in dict.fromkeys(shown.values()):
        members = [name for name, entry in shown.items() if entry == label]
        for role in ("trained", "random"):
            rows = placed.filter(pl.col("family").is_in(members) & (pl.col("role") == role))
            if rows.is_empty():
                continue
            mark = marks[members[0]]
            figure.add_scatter(
                x=rows["performance"].to_list(), y=rows["alignment"].to_list(), mode="markers",
                name=label, legendgroup=label, showlegend=role == "trained",
                marker={
                    "symbol": mark.symbol if role == "trained" else f"{mark.symbol}-open",
                    "color": GREY if label == OTHERS else mark.colour,
                    "size": 11 if role == "trained" else 8, "line": {"width": 1},
                },
                text=[_hover(point) for point in rows.iter_rows(named=True)],
                hovertemplate="%{text}<extra></extra>",
            )  # fmt: skip
    if placed.filter(pl.col("role") == "random").height:
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name="random weights (hollow)",
            marker={"symbol": "circle-open", "color": GREY, "size": 8}, hoverinfo="skip",
        )  # fmt: skip
    for point in points.filter(pl.col("role") == "control").iter_rows(named=True):
        figure.add_hline(
            y=point["alignment"], line={"dash": "dash", "color": GREY, "width": 1},
            annotation={"text": point["model"], "font": {"size": 11, "color": "#4b5563"}},
            annotation_position="bottom right",
        )  # fmt: skip
    return layout(
        figure,
        xaxis={"title": {"text": f"performance: {row['benchmark']}"}},
        yaxis={"title": {"text": "brain alignment (mean r)"}},
    )


def _hover(point: dict[str, Any]) -> str:
    size = f"{point['parameters'] / 1e6:,.1f} M" if point["parameters"] else "not stated"
    role = "" if point["role"] == "trained" else f" ({point['checkpoint']}, random weights)"
    return (
        f"<b>{point['model']}</b>{role}<br>family {point['family']}<br>"
        f"performance {number(point['performance'], 3)}<br>"
        f"alignment r {number(point['alignment'], 3)}<br>parameters {size}"
    )
