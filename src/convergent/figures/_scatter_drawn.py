"""The scatter of performance and alignment, static and interactive."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._style import GREY, OTHERS, Mark, family_marks, layout, new_figure, shown_families, tidy
from ._words import number

_RING = "#111827"
NAMED = 10  # models that the static figure names; the interactive one names all


def static(points: pl.DataFrame, row: dict[str, Any], line: np.ndarray | None) -> Figure:
    """Draw for print: families by mark, extremes and outliers by name."""
    figure, axes = new_figure()
    if line is not None:
        axes.plot(line[0], line[1], color="#374151", linewidth=1.2, zorder=3.5)
        axes.fill_between(line[0], line[2], line[3], color="#9ca3af", alpha=0.25, linewidth=0)
    for point in points.filter(pl.col("role") == "control").iter_rows(named=True):
        axes.axhline(point["alignment"], color=GREY, linestyle="--", linewidth=0.9)
        place = (0.99, point["alignment"])  # share of the width, value
        axes.annotate(
            point["model"], place, xycoords=("axes fraction", "data"), xytext=(0, -2),
            textcoords="offset points", ha="right", va="top", fontsize=7, color=GREY,
        )  # fmt: skip
    placed = points.filter(pl.col("performance").is_not_null())
    labelled: set[str] = set()
    small = 0.5 if placed.height > 150 else 1.0
    for family, mark, label in _families(placed):
        for role in ("trained", "random"):
            rows = placed.filter((pl.col("family") == family) & (pl.col("role") == role))
            if rows.is_empty():
                continue
            trained = role == "trained"
            shown = label if trained else "random weights"
            axes.scatter(
                rows["performance"], rows["alignment"], s=small * (42 if trained else 26),
                marker=mark.marker, facecolor=mark.colour if trained else "none",
                edgecolor="white" if trained else mark.colour, linewidth=0.5 if trained else 0.9,
                label=None if shown in labelled else shown, zorder=3,
            )  # fmt: skip
            labelled.add(shown)
    ringed = placed.filter((pl.col("role") == "trained") & (pl.col("coco") == "yes"))
    if ringed.height:
        axes.scatter(
            ringed["performance"], ringed["alignment"], s=90 * small, marker="o", facecolor="none",
            edgecolor=_RING, linewidth=0.9, label="trained on COCO", zorder=4,
        )  # fmt: skip
    axes.set_xlabel(f"performance: {row['benchmark']}")
    axes.set_ylabel("brain alignment (mean r)")
    tidy(axes)
    _name(axes, placed.filter(pl.col("role") == "trained"), line)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def notable(points: pl.DataFrame, line: np.ndarray | None, *, count: int = NAMED) -> list[int]:
    """Choose the points to name: the ends of both axes, then the farthest from the line.

    Parameters
    ----------
    points : DataFrame
        performance and alignment of trained models.
    line : ndarray, shape (4, point), optional
        x and the fitted line in the first two rows.
    count : int
        At most so many.

    Returns
    -------
    list of int
        Rows, no row twice, the most notable first.
    """
    x, y = (points[name].to_numpy().astype(float) for name in ("performance", "alignment"))
    if len(x) == 0:
        return []
    ends = [int(v) for v in (y.argmax(), x.argmax(), y.argmin(), x.argmin())]
    middle = np.full(len(y), y.mean()) if line is None else np.interp(x, line[0], line[1])
    far = np.argsort(-np.abs(y - middle), kind="stable").tolist()
    return list(dict.fromkeys([*ends, *far]))[:count]


def _name(axes: Axes, trained: pl.DataFrame, line: np.ndarray | None) -> None:
    """Write names beside points, leaving out those that would lie on one another."""
    x, y = (trained[name].to_numpy().astype(float) for name in ("performance", "alignment"))
    width, height = (max(float(np.ptp(v)), 1e-12) for v in (x, y))
    middle = np.full(len(y), y.mean()) if line is None else np.interp(x, line[0], line[1])
    taken: list[tuple[float, float, float]] = []
    for index in notable(trained, line):
        name = trained["model"][index]
        across, up = (x[index] - x.min()) / width, (y[index] - y.min()) / height
        length = 0.016 * len(name)
        # away from the line, where there are fewer points, unless it would leave the figure
        left = y[index] > middle[index]
        left = across + length > 1 or (left and across > length)
        start = across - length if left else across
        if any(abs(up - v) < 0.045 and start < b and a < start + length for a, b, v in taken):
            continue
        taken.append((start, start + length, up))
        axes.annotate(
            name, (x[index], y[index]), xytext=(-6 if left else 6, 2), fontsize=6.5,
            textcoords="offset points", ha="right" if left else "left", color="#374151", zorder=5,
        )  # fmt: skip


def interactive(points: pl.DataFrame, row: dict[str, Any], line: np.ndarray | None) -> go.Figure:
    """Draw for the page: each point tells its model, which is its ``customdata`` too."""
    figure = go.Figure()
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
    _markers(figure, placed)
    for name, symbol, there in (
        ("random weights (hollow)", "circle-open", placed["role"] == "random"),
        ("trained on COCO (ringed)", "circle-open", placed["coco"] == "yes"),
    ):
        if there.any():
            ringed = name.startswith("trained")
            figure.add_scatter(
                x=[None], y=[None], mode="markers", name=name, hoverinfo="skip",
                marker={"symbol": symbol, "color": _RING if ringed else GREY,
                        "size": 11 if ringed else 8, "line": {"width": 2 if ringed else 1}},
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


def _markers(figure: go.Figure, placed: pl.DataFrame) -> None:
    groups: dict[str, list[str]] = {}
    marks: dict[str, Mark] = {}
    for family, mark, label in _families(placed):
        groups.setdefault(label, []).append(family)
        marks.setdefault(label, mark)
    for label, members in groups.items():
        mark = marks[label]
        for role in ("trained", "random"):
            rows = placed.filter(pl.col("family").is_in(members) & (pl.col("role") == role))
            if rows.is_empty():
                continue
            trained = role == "trained"
            ring = [trained and coco == "yes" for coco in rows["coco"].to_list()]
            edges = [_RING if on else ("#ffffff" if trained else mark.colour) for on in ring]
            figure.add_scatter(
                x=rows["performance"].to_list(), y=rows["alignment"].to_list(), mode="markers",
                name=label, legendgroup=label, showlegend=trained,
                marker={
                    "symbol": mark.symbol if trained else f"{mark.symbol}-open",
                    "color": GREY if label == OTHERS else mark.colour,
                    "size": 11 if trained else 8,
                    "line": {"width": [2.5 if on else 1 for on in ring], "color": edges}
                    if any(ring)
                    else {"width": 1},
                },
                text=[_hover(point) for point in rows.iter_rows(named=True)],
                customdata=rows["model"].to_list(),
                hovertemplate="%{text}<extra></extra>",
            )  # fmt: skip


def _families(placed: pl.DataFrame) -> list[tuple[str, Mark, str]]:
    """Each family with a trained model: its name, mark, and entry of the legend."""
    families = placed.filter(pl.col("role") == "trained")["family"].to_list()
    marks, shown = family_marks(families), shown_families(families)
    return [(family, mark, shown[family]) for family, mark in marks.items()]


def _hover(point: dict[str, Any]) -> str:
    size = f"{point['parameters'] / 1e6:,.1f} M" if point["parameters"] else "not stated"
    role = "" if point["role"] == "trained" else f" ({point['checkpoint']}, random weights)"
    coco = {"yes": "<br>trained on COCO", "unknown": "<br>perhaps trained on COCO"}
    return (
        f"<b>{point['model']}</b>{role}<br>family {point['family']}<br>"
        f"performance {number(point['performance'], 3)}<br>"
        f"alignment r {number(point['alignment'], 3)}<br>parameters {size}"
        + coco.get(point["coco"], "")
    )
