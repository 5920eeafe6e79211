"""Regions on the axis from the senses to association, and networks against the rest."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from ._drawing import Drawing, Tables, figure_of
from ._style import COLOURS, GREY, layout, new_figure, tidy
from ._words import interval, number, p_value


@figure_of("region_tests", "gradient")
def gradient(tables: Tables) -> list[Drawing]:
    """Every region's mean alignment against its place on the axis."""
    rows = tables["region_tests"].filter(
        (pl.col("question") == "chance")
        & (pl.col("choice") == "best")
        & pl.col("axis_position").is_not_null()
    )
    tests = tables["gradient"].filter((pl.col("choice") == "best") & (pl.col("level") == "mean"))
    return [
        _scatter(str(dataset), str(modality), part, tests)
        for (dataset, modality), part in rows.group_by(["dataset", "modality"], maintain_order=True)
        if part.height >= 3
    ]


def gradient_words(row: dict[str, Any]) -> str:
    """One row of the gradient table as a sentence without a full stop."""
    what = {"score": "alignment", "score_normalised": "alignment as a share of its ceiling"}.get(
        row["measure"], "the depth of the layer chosen"
    )
    if row["rho"] is None:
        return f"{what}: not tested ({row['reason']})"
    text = f"{what}: Spearman rho {number(row['rho'])}, {row['n_regions']} regions"
    if row["rho_low"] is not None:
        text += f", 95 % interval over families {interval(row['rho_low'], row['rho_high'])}"
    spin = f"spin test p {p_value(row['p_spin'])}" if row["p_spin"] is not None else row["reason"]
    return f"{text}, {spin}"


def _scatter(dataset: str, modality: str, rows: pl.DataFrame, tests: pl.DataFrame) -> Drawing:
    mine = tests.filter((pl.col("dataset") == dataset) & (pl.col("modality") == modality))
    words = "; ".join(gradient_words(row) for row in mine.iter_rows(named=True))
    about = rows.row(0, named=True)
    caption = (
        f"Alignment (primary metric, best layer chosen on other samples) of {rows.height} regions "
        f"of data set {dataset} against their distance from primary cortex, 0 to 1: mean over "
        f"{about['n_families']} families of {about['n_models']} final trained {modality} models "
        f"and {about['n_subjects']} subjects. {words}. Regions are not independent: the spin test "
        "rotates the axis over the cortex, and the interval is over families (jackknife)."
    )
    networks = sorted({name or "" for name in rows["network"].to_list()})
    figure, axes = new_figure(6.4, 4.2)
    plot = go.Figure()
    for i, name in enumerate(networks):
        part = rows.filter(pl.col("network").fill_null("") == name)
        x, y = part["axis_position"].to_list(), part["effect"].to_list()
        colour, marker = COLOURS[i % len(COLOURS)], "os^DvXP*"[i % 8]
        label = name or "no network"
        axes.scatter(x, y, s=16, color=colour, marker=marker, linewidths=0, label=label, alpha=0.8)
        plot.add_scatter(
            x=x, y=y, mode="markers", name=label, text=part["place"].to_list(),
            marker={"size": 7, "color": colour, "opacity": 0.8},
            hovertemplate="<b>%{text}</b><br>position %{x:.2f}<br>%{y:.3f}<extra></extra>",
        )  # fmt: skip
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.set_xlabel("position (0 primary cortex, 1 most distant)")
    axes.set_ylabel("mean alignment")
    tidy(axes)
    figure.legend(frameon=False, fontsize=7, loc="outside right center")
    rho = mine.filter(pl.col("measure") == "score")["rho"].to_list() or [None]
    return Drawing(
        name=f"gradient-{dataset}-{modality}",
        figure="gradient",
        title=f"From the senses to association ({dataset})",
        caption=caption,
        alt=f"Scatter of mean alignment against position on the axis for {rows.height} regions; "
        f"Spearman rho {number(rho[0])}.",
        data=rows.select(
            "place", "network", "axis_position", "effect", "low", "high", "p", "p_fwe", "q"
        ),
        static=figure,
        interactive=layout(
            plot,
            xaxis={"title": {"text": "position (0 primary cortex, 1 most distant)"}},
            yaxis={"title": {"text": "mean alignment"}},
        ),
    )


@figure_of("region_tests")
def networks(tables: Tables) -> list[Drawing]:
    """Each network's mean less that of the other regions, one drawing a data set."""
    rows = tables["region_tests"].filter(
        (pl.col("question") == "network")
        & (pl.col("choice") == "best")
        & (pl.col("measure") == "score")
    )
    return [
        _forest(str(dataset), str(modality), part.sort("effect"))
        for (dataset, modality), part in rows.group_by(["dataset", "modality"], maintain_order=True)
    ]


def _forest(dataset: str, modality: str, rows: pl.DataFrame) -> Drawing:
    about = rows.row(0, named=True)
    places = rows["place"].to_list()
    top = rows.row(-1, named=True)
    return Drawing(
        name=f"networks-{dataset}-{modality}",
        figure="networks",
        title=f"Which networks? ({dataset})",
        caption=(
            f"Mean alignment of each network's regions less that of all others, data set "
            f"{dataset}, {about['n_regions']} regions: mean over {about['n_families']} families of "
            f"{about['n_models']} final trained {modality} models, with 95 % t intervals over "
            f"families, for the {about['n_subjects']} people measured. The data hold each test "
            "over families (p; p_fwe by Holm) and against rotations of the network (p_spin)."
        ),
        alt=f"Dot plot of {len(places)} networks; highest {top['place']}, "
        f"{number(top['effect'], 3)} above the rest.",
        data=rows.select(
            "place", "n_regions", "n_models", "n_families", "effect", "low", "high", "p", "p_fwe",
            "q", "p_spin",
        ),
        static=_forest_static(rows, places),
        interactive=_forest_interactive(rows, places),
    )  # fmt: skip


def _forest_static(rows: pl.DataFrame, places: list[str]) -> Figure:
    figure, axes = new_figure(6.4, 1.2 + 0.3 * len(places))
    axes.axvline(0, color=GREY, linewidth=0.8)
    for y, row in enumerate(rows.iter_rows(named=True)):
        if row["low"] is not None:
            axes.plot([row["low"], row["high"]], [y, y], color=COLOURS[0], linewidth=1.6)
        axes.plot(row["effect"], y, "o", color=COLOURS[0], markersize=5)
    axes.set_yticks(range(len(places)), places, fontsize=8)
    axes.set_xlabel("alignment, network less the rest")
    tidy(axes)
    return figure


def _forest_interactive(rows: pl.DataFrame, places: list[str]) -> go.Figure:
    effect = rows["effect"].to_list()
    error = {
        "type": "data", "symmetric": False, "color": COLOURS[0],
        "array": [
            (high if high is not None else e) - e
            for high, e in zip(rows["high"], effect, strict=True)
        ],
        "arrayminus": [
            e - (low if low is not None else e) for low, e in zip(rows["low"], effect, strict=True)
        ],
    }  # fmt: skip
    words = [
        f"{row['place']}<br>{number(row['effect'], 3)} {interval(row['low'], row['high'], 3)}"
        f"<br>p {p_value(row['p'])}, spin p {p_value(row['p_spin'])}"
        for row in rows.iter_rows(named=True)
    ]
    figure = go.Figure()
    figure.add_scatter(
        x=effect, y=places, mode="markers", error_x=error, text=words, showlegend=False,
        marker={"size": 9, "color": COLOURS[0]}, hovertemplate="%{text}<extra></extra>",
    )  # fmt: skip
    return layout(
        figure,
        height=150 + 30 * len(places),
        margin={"l": 8, "r": 16, "t": 16, "b": 48},
        xaxis={"title": {"text": "alignment, network less the rest"}},
        yaxis={"automargin": True, "tickfont": {"size": 11}},
    )
