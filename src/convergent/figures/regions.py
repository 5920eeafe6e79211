"""Regions, subjects and ceilings, one dot each."""

from __future__ import annotations

import math
from typing import Any

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
    p_value,
    tidy,
)

_KINDS = (
    ("trained", "trained models (mean)", "#0072B2", "o", "circle"),
    ("random", "random weights (mean)", "#D55E00", "s", "square-open"),
    ("control", "strongest control", GREY, "D", "diamond-open"),
)


@figure_of("subject_profile")
def region_dots(tables: Tables) -> list[Drawing]:
    """Every subject's alignment in every region, beside the noise ceiling."""
    return [
        _draw(str(dataset), part)
        for (dataset,), part in tables["subject_profile"].group_by(["dataset"], maintain_order=True)
    ]


def _draw(dataset: str, table: pl.DataFrame) -> Drawing:
    subjects = table["subject"].n_unique()
    counts = dict(table.group_by("kind").agg(pl.col("n_models").first()).iter_rows())
    controls = table["strongest"].drop_nulls().unique().to_list()
    places = table["place"].unique(maintain_order=True).to_list()
    has_ceiling = table["ceiling"].null_count() < table.height
    caption = (
        f"Alignment (primary metric, best layer chosen on other samples) in each of "
        f"{len(places)} {table['place_kind'][0]}s of data set {dataset}. Small dots: {subjects} "
        f"subjects; large marks: their mean. Trained: {counts.get('trained', 0)} models; "
        f"random twins of {counts.get('random', 0)}; "
        f"strongest of {counts.get('control', 0)} controls: {', '.join(controls) or 'none'}. "
        + (
            "Bars: noise ceiling, square root of the explainable variance, mean over subjects. "
            if has_ceiling
            else "The data allow no noise ceiling. "
        )
        + "Regions are not samples: no test across them."
    )
    return Drawing(
        name=f"region-dots-{dataset}",
        figure="region-dots",
        title=f"Each region, each subject ({dataset})",
        caption=caption,
        alt=f"Dot plot of alignment in {len(places)} regions for {subjects} subjects, with the "
        "means of trained models and random twins, and the strongest control.",
        data=table,
        static=_static(table, places),
        interactive=_interactive(table, places),
    )


def _offsets(kind: int, number: int) -> list[float]:
    """Spread subjects sideways around their kind's column, in a fixed order."""
    centre = (kind - 1) * 0.27
    if number == 1:
        return [centre]
    return [centre + 0.16 * (i / (number - 1) - 0.5) for i in range(number)]


def _means(table: pl.DataFrame, kind: str, places: list[str]) -> list[float | None]:
    means = table.filter(pl.col("kind") == kind).group_by("place").agg(pl.col("score").mean())
    found = dict(means.iter_rows())
    return [found.get(place) for place in places]


def _ceilings(table: pl.DataFrame, places: list[str]) -> list[float | None]:
    found = dict(
        table.unique(["place", "subject"])
        .group_by("place")
        .agg(pl.col("ceiling").mean())
        .iter_rows()
    )
    return [found.get(place) for place in places]


def _positions(table: pl.DataFrame, kind: int, places: list[str]) -> pl.DataFrame:
    name = _KINDS[kind][0]
    subjects = sorted(table["subject"].unique().to_list())
    offset = dict(zip(subjects, _offsets(kind, len(subjects)), strict=True))
    at = {place: i for i, place in enumerate(places)}
    rows = table.filter((pl.col("kind") == name) & pl.col("score").is_not_null())
    x = [
        at[place] + offset[subject]
        for place, subject in rows.select("place", "subject").iter_rows()
    ]
    return rows.with_columns(x=pl.Series(x, dtype=pl.Float64))


def _static(table: pl.DataFrame, places: list[str]) -> Figure:
    figure, axes = new_figure(max(5.5, 0.42 * len(places) + 2.0), 4.2)
    for i, ceiling in enumerate(_ceilings(table, places)):
        if ceiling is not None:
            label = "noise ceiling" if i == 0 else None
            axes.hlines(ceiling, i - 0.42, i + 0.42, color="#111827", linewidth=1.6, label=label)
    for kind, (name, label, colour, marker, _) in enumerate(_KINDS):
        dots = _positions(table, kind, places)
        if dots.is_empty():
            continue
        axes.scatter(
            dots["x"].to_list(), dots["score"].to_list(), s=7, color=colour, alpha=0.55,
            linewidth=0,
        )  # fmt: skip
        means = [math.nan if v is None else v for v in _means(table, name, places)]
        axes.scatter(
            [i + (kind - 1) * 0.27 for i in range(len(places))], means, s=34, marker=marker,
            facecolor=colour if name == "trained" else "white", edgecolor=colour, label=label,
            zorder=3,
        )  # fmt: skip
    axes.axhline(0, color="#111827", linewidth=0.7)
    axes.set_xticks(range(len(places)), places, rotation=60, ha="right", fontsize=8)
    axes.set_ylabel("alignment (r)")
    tidy(axes)
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=2)
    return figure


def _interactive(table: pl.DataFrame, places: list[str]) -> go.Figure:
    figure = go.Figure()
    x: list[float | None] = []
    y: list[float | None] = []
    for i, ceiling in enumerate(_ceilings(table, places)):
        if ceiling is not None:
            x += [i - 0.42, i + 0.42, None]
            y += [ceiling, ceiling, None]
    if x:
        figure.add_scatter(
            x=x, y=y, mode="lines", line={"color": "#111827", "width": 2}, name="noise ceiling",
            hovertemplate="ceiling r %{y:.2f}<extra></extra>",
        )  # fmt: skip
    for kind, (name, label, colour, _, symbol) in enumerate(_KINDS):
        dots = _positions(table, kind, places)
        if dots.is_empty():
            continue
        figure.add_scatter(
            x=dots["x"].to_list(), y=dots["score"].to_list(), mode="markers", showlegend=False,
            legendgroup=name, marker={"size": 5, "color": colour, "opacity": 0.55},
            text=[f"{p}, {s}" for p, s in dots.select("place", "subject").iter_rows()],
            hovertemplate=f"%{{text}}<br>{name} r %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=[i + (kind - 1) * 0.27 for i in range(len(places))],
            y=_means(table, name, places), mode="markers", name=label, legendgroup=name,
            marker={"size": 11, "color": colour, "symbol": symbol, "line": {"width": 2}},
            text=places, hovertemplate=f"%{{text}}<br>mean {name} r %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    return layout(
        figure,
        height=500,
        margin={"l": 60, "r": 8, "t": 64, "b": 110},
        xaxis={
            "tickvals": list(range(len(places))),
            "ticktext": places,
            "tickangle": -60,
            "range": [-0.6, len(places) - 0.4],
        },
        yaxis={"title": {"text": "alignment (r)"}, "zeroline": True, "zerolinecolor": "#111827"},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0},
    )


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
