"""Performance against alignment, every model named."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from convergent.figures.style import (
    GREY,
    OTHERS,
    Drawing,
    Mark,
    Tables,
    family_marks,
    figure_of,
    interval,
    layout,
    new_figure,
    number,
    p_value,
    shown_families,
    tidy,
)

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


@figure_of("model_alignment", "performance", "models", "correlations")
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
        none was measured), alignment, alignment_normalised, parameters, coco (yes, unknown or
        no: trained on its images or captions).
    """
    scores = (
        tables["performance"]
        .filter(pl.col("benchmark") == benchmark)
        .select("model", "checkpoint", performance="score")
    )
    tags = pl.col("tags").fill_null("").str.split(" ")
    facts = tables["models"].select(
        "model",
        "parameters",
        coco=pl.when(tags.list.contains("coco"))
        .then(pl.lit("yes"))
        .when(tags.list.contains("coco-unknown"))
        .then(pl.lit("unknown"))
        .otherwise(pl.lit("no")),
    )
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
        .join(facts, on="model", how="left")
        .select(
            *("model", "family", "checkpoint", "role", "performance"),
            *("alignment", "alignment_normalised", "parameters", "coco"),
        )
        .sort("role", "family", "model", "checkpoint", descending=[True, False, False, False])
    )


def _draw(row: dict[str, Any], tables: Tables) -> Drawing | None:
    points = scatter_points(tables, row["dataset"], row["modality"], row["benchmark"])
    trained = points.filter((pl.col("role") == "trained") & pl.col("performance").is_not_null())
    if trained.is_empty():
        return None
    # Without a correlation there is no line either: it would say what was withheld.
    line = None if row["r"] is None else _line(trained, row["n_effective"])
    twins = points.filter((pl.col("role") == "random") & pl.col("performance").is_not_null())
    name = f"performance-alignment-{row['dataset']}-{row['benchmark']}"
    several = tables["correlations"].filter(pl.col("dataset") == row["dataset"])["benchmark"]
    where = row["dataset"] + f", {row['benchmark']}" * (several.n_unique() > 1)
    return Drawing(
        name=name,
        figure="performance-alignment",
        title=f"Do better {row['modality']} models align better? ({where})",
        caption=_caption(row, points, trained, line is not None),
        alt=(
            f"Scatter of {trained.height} trained models and {twins.height} random twins: "
            f"{row['benchmark']} on the horizontal axis, brain alignment on the vertical axis; "
            f"Pearson r {number(row['r'])}, 95% interval {interval(row['low'], row['high'])}."
        ),
        data=points,
        static=static(points, row, line),
        interactive=interactive(points, row, line),
    )


def _caption(row: dict[str, Any], points: pl.DataFrame, trained: pl.DataFrame, line: bool) -> str:
    unplaced = points.filter((pl.col("role") == "random") & pl.col("performance").is_null()).height
    tagged = trained.filter(pl.col("coco") == "yes").height
    parts = [
        f"Performance ({row['benchmark']}) against brain alignment (mean r over regions above the "
        f"noise-ceiling threshold, then over {row['n_subjects']} subjects; best layer chosen on "
        f"training folds) for {row['n_models']} {row['modality']} models of {row['n_families']} "
        f"families, data set {row['dataset']}.",
        f"{_tested(row)}." if row["r"] is not None else f"No correlation: {row['reason']}.",
        "Line: least squares, with a 95% band for as many independent models." * line,
        "Hollow: the same architectures with random weights, not in r.",
        "Dashed: controls without weights.",
        f"Ringed: {tagged} models trained on COCO images or captions." * bool(tagged),
        f"{unplaced} random twins without a measured performance are not placed." * bool(unplaced),
    ]
    return " ".join(part for part in parts if part)


def _tested(row: dict[str, Any]) -> str:
    if row["p"] is None:
        return f"Pearson r = {number(row['r'])}, not tested ({row['p_reason']})"
    return (
        f"Pearson r = {number(row['r'])}, 95% CI {interval(row['low'], row['high'])}, "
        f"p = {p_value(row['p'])}, against unrelated performance and alignment that both run in "
        f"families; in r the models count as {row['n_effective']:.0f} independent ones"
    )


def _line(points: pl.DataFrame, effective: float | None) -> np.ndarray | None:
    """Least-squares line with its 95% band: rows x, fit, low, high.

    The band's error is that of `effective` independent models instead of all.
    """
    x = points["performance"].to_numpy().astype(float)
    y = points["alignment"].to_numpy().astype(float)
    if len(x) < 3 or np.ptp(x) < 1e-12:
        return None
    count = min(len(x), effective or 0.0)
    fit = stats.linregress(x, y)
    grid = np.linspace(x.min(), x.max(), 50)
    middle = fit.intercept + fit.slope * grid
    if count <= 3:  # fewer leave no band
        return np.stack([grid, middle, middle, middle])
    residual = y - fit.intercept - fit.slope * x
    spread = np.sqrt(residual @ residual / (len(x) - 2))
    share = (grid - x.mean()) ** 2 / ((x - x.mean()) ** 2).mean()
    half = stats.t.ppf(0.975, count - 2) * spread * np.sqrt((1 + share) / count)
    return np.stack([grid, middle, middle - half, middle + half])
