"""At which scale each network aligns best, with how sure that is."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go
import polars as pl
from matplotlib.ticker import FuncFormatter

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
    p_value,
    tidy,
)

_STATES = {
    "peak": (COLOURS[0], "o", "circle", "peak inside the sweep"),
    "edge": (COLOURS[1], "D", "diamond", "highest at an end of the sweep"),
    "flat": (GREY, "x", "x", "no peak: slope and bend not told from none"),
    "untested": (GREY, "s", "square-open", "too few families to tell"),
    "no alignment": (GREY, "v", "triangle-down", "not above chance"),
}


@figure_of("scale_peaks", "scale_shift")
def scale_peaks(tables: Tables) -> list[Drawing]:
    """Peaks over the bandwidth, over all regions and by network."""
    rows = tables["scale_peaks"].filter(pl.col("kind") != "region")
    keys = ["dataset", "modality", "metric"]
    drawings = []
    for names, part in rows.group_by(keys, maintain_order=True):
        mine = tables["scale_shift"].filter(
            pl.all_horizontal(pl.col(k) == v for k, v in zip(keys, names, strict=True))
            & (pl.col("level") == "mean")
        )
        drawings.append(_draw(part, mine))
    return drawings


def shift_words(row: dict[str, Any]) -> str:
    """One row of the shift table as a sentence without a full stop."""
    name = f" given {row['given']}" if row["given"] else ""
    if row["p"] is None:
        return f"shift along the axis{name}: not tested ({row['reason']})"
    text = (
        f"shift of the curve's centre along the axis{name}: {number(row['slope'])} octaves, 95 % "
        f"interval over families {interval(row['low'], row['high'])}, p over families "
        f"{p_value(row['p'])}"
    )
    if row["p_spin"] is None:
        return text + f", no spatial null ({row['reason']})"
    return text + f", against rotations of the axis {p_value(row['p_spin'])}"


def _draw(rows: pl.DataFrame, shifts: pl.DataFrame) -> Drawing:
    about = rows.row(0, named=True)
    rows = rows.sort("axis_position", "place", nulls_last=True)
    places = ["all regions" if p == "all" else p for p in rows["place"].to_list()]
    told = "; ".join(shift_words(row) for row in shifts.iter_rows(named=True))
    figure, axes = new_figure(6.4, 1.4 + 0.3 * len(places))
    plot = go.Figure()
    for y, (place, row) in enumerate(zip(places, rows.iter_rows(named=True), strict=True)):
        colour, marker, symbol, words = _STATES[row["state"]]
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.6)
            plot.add_scatter(
                x=[row["low"], row["high"]], y=[place, place], mode="lines", hoverinfo="skip",
                showlegend=False, line={"color": colour, "width": 3},
            )  # fmt: skip
        axes.plot(row["peak"], y, marker, color=colour, markersize=6)
        plot.add_scatter(
            x=[row["peak"]], y=[place], mode="markers", showlegend=False, text=[words],
            marker={"size": 9, "color": colour, "symbol": symbol},
            hovertemplate=f"<b>{place}</b><br>scale %{{x:.2f}}<br>%{{text}}<extra></extra>",
        )  # fmt: skip
    axes.set_yticks(range(len(places)), places, fontsize=8)
    axes.set_xscale("log", base=2)
    axes.set_xlim(about["lowest"] / 1.1, about["highest"] * 1.1)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("scale of the highest score (bandwidth / median distance)")
    tidy(axes)
    found = ", ".join(
        f"{row['len']} {row['state']}"
        for row in rows.group_by("state").len().sort("state").iter_rows(named=True)
    )
    return Drawing(
        name=f"scale-peaks-{about['dataset']}-{about['metric']}",
        figure="scale-peaks",
        title=f"At which scale? ({about['dataset']}, {about['metric']})",
        caption=(
            f"Scale at which the mean {about['metric']} of {about['n_families']} families "
            f"({about['n_models']} final trained {about['modality']} models, {about['n_subjects']} "
            f"subjects) is highest, of {about['n_scales']} scales, from the first network on the "
            f"axis to the last, data set {about['dataset']}. Bars: 95 % interval, bootstrap of "
            f"families, where there are 5. States: {found}; a curve whose slope and bend cannot be "
            "told from none (Hotelling's test over families) has no peak, and one that is highest "
            f"at an end may peak beyond. Over regions: {told}."
        ),
        alt=f"Dot plot of the scale of the highest score for {len(places)} sets of regions.",
        data=rows,
        static=figure,
        interactive=layout(
            plot,
            height=160 + 30 * len(places),
            margin={"l": 8, "r": 16, "t": 16, "b": 48},
            xaxis={
                "title": {"text": "scale of the highest score"},
                "type": "log",
                "range": [
                    math.log10(about["lowest"] / 1.1),
                    math.log10(about["highest"] * 1.1),
                ],
            },
            yaxis={"automargin": True, "tickfont": {"size": 11}, "type": "category"},
        ),
    )
