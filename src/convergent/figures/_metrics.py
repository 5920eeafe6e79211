"""The same question asked of other metrics, and of the scale at which kernels look."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from ._drawing import Drawing, Tables, figure_of
from ._style import COLOURS, GREY, layout, new_figure, tidy
from ._words import interval, number


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
