"""Regions, subjects and ceilings, one dot each."""

from __future__ import annotations

import math

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from ._drawing import Drawing, Tables, figure_of
from ._style import GREY, layout, new_figure, tidy

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
