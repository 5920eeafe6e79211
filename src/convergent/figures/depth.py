"""Alignment over relative depth, and the likeness of modalities there."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from convergent.figures.style import (
    COLOURS,
    Drawing,
    FigureError,
    Tables,
    figure_of,
    interval,
    layout,
    new_figure,
    number,
    p_value,
    tidy,
)

_AXIS = "relative depth (0 first layer, 1 last)"
Curve = tuple[str, list[float], list[float], list[float | None], list[float | None]]


@figure_of("depth_profile", "depth_tests")
def depth(tables: Tables) -> list[Drawing]:
    """Mean alignment at each relative depth, over all regions and by network."""
    rows = tables["depth_profile"].filter(pl.col("kind") != "region")
    drawings = []
    for (dataset, modality), part in rows.group_by(["dataset", "modality"], maintain_order=True):
        tests = tables["depth_tests"].filter(
            (pl.col("dataset") == dataset)
            & (pl.col("modality") == modality)
            & (pl.col("kind") == "all")
        )
        drawings.append(_depth(str(dataset), str(modality), part, tests))
    return drawings


def _depth(dataset: str, modality: str, rows: pl.DataFrame, tests: pl.DataFrame) -> Drawing:
    about, test = rows.row(0, named=True), tests.row(0, named=True)
    if test["p"] is None:
        told = "Late against early layers: not tested, fewer than 3 families."
    else:
        told = (
            f"Over all regions, late less early half: {number(test['difference'], 3)}, 95 % "
            f"interval {interval(test['low'], test['high'], 3)}, t test over families p "
            f"{p_value(test['p'])}."
        )
    curves = [
        ("all regions" if place == "all" else str(place), *_points(part, "score"))
        for (place,), part in rows.group_by(["place"], maintain_order=True)
    ]
    return Drawing(
        name=f"depth-{dataset}-{modality}",
        figure="depth",
        title=f"How deep in a model? ({dataset})",
        caption=(
            f"Alignment (primary metric) in 8 bins of relative depth, data set {dataset}, "
            f"{about['n_regions']} regions: mean over {about['n_families']} families of "
            f"{about['n_models']} final trained {modality} models (layers averaged within a "
            f"bin, or interpolated) and {about['n_subjects']} subjects. Band: 95 % t interval over "
            f"families, of all regions. No layer is chosen. {told}"
        ),
        alt=f"Lines of alignment over relative depth for {len(curves)} sets of regions; over all "
        f"regions highest at depth {number(test['best_depth'])}.",
        data=rows,
        static=_static(curves, "mean alignment"),
        interactive=_interactive(curves, "mean alignment"),
    )


@figure_of("convergence", "convergence_trend")
def convergence(tables: Tables) -> list[Drawing]:
    """Correlation of two modalities' region profiles at each depth."""
    rows = tables["convergence"].filter(pl.col("measure") == "score")
    if rows.is_empty():
        raise FigureError(
            "no two modalities are measured in the same regions", where="figure 'convergence'"
        )
    trends = tables["convergence_trend"].filter(pl.col("measure") == "score")
    pair = ["dataset", "other_dataset"]
    drawings = []
    for names, part in rows.group_by(pair, maintain_order=True):
        mine = trends.filter(
            pl.all_horizontal(pl.col(k) == v for k, v in zip(pair, names, strict=True))
        )
        drawings.append(_convergence(part, mine))
    return drawings


def trend_words(row: dict[str, object]) -> str:
    """One row of the trend table as a sentence without a full stop."""
    low, high, p = (row[name] for name in ("low", "high", "p"))
    if not isinstance(p, float):
        return f"{row['statistic']}: not tested ({row['reason']})"
    assert isinstance(low, float)
    assert isinstance(high, float)
    early, late = (float(str(row[name])) for name in ("early", "late"))
    return (
        f"{row['statistic']} {number(early)} in the early half and {number(late)} in the late one, "
        f"difference 95 % interval {interval(low, high)}, p {p_value(p)}"
    )


def _convergence(rows: pl.DataFrame, trends: pl.DataFrame) -> Drawing:
    about = rows.row(0, named=True)
    told = "; ".join(trend_words(row) for row in trends.iter_rows(named=True))
    curves: list[Curve] = [
        ("r of mean profiles", *_points(rows, "r")),
        (
            "corrected for noise",
            *_points(
                rows.drop_nulls("corrected"), "corrected", ("corrected_low", "corrected_high")
            ),
        ),
    ]
    return Drawing(
        name=f"convergence-{about['dataset']}-{about['other_dataset']}",
        figure="convergence",
        title=f"Do modalities converge? ({about['dataset']}, {about['other_dataset']})",
        caption=(
            f"Correlation over {about['n_regions']} regions of the mean profiles of "
            f"{about['n_models']} {about['modality']} models ({about['n_families']} families, "
            f"{about['dataset']}) and {about['other_n_models']} {about['other_modality']} models "
            f"({about['other_n_families']} families, {about['other_dataset']}) at equal relative "
            "depth; corrected: between families of the two modalities, as a share of that between "
            "families of one. Band: jackknife over families of both, 95 %. "
            f"Late against early: {told}. "
            "Spin p values of each depth are in the data. Noise that all models meet in the same "
            "people is not corrected for."
        ),
        alt="Lines of the correlation of region profiles over relative depth.",
        data=rows,
        static=_static(curves, "correlation of region profiles"),
        interactive=_interactive(curves, "correlation of region profiles"),
    )


@figure_of("representation_depth", "representation_trend")
def representations(tables: Tables) -> list[Drawing]:
    """Likeness of vision and language representations of the same stimuli, over depth."""
    trends = tables["representation_trend"]
    if trends.is_empty():
        raise FigureError(
            "the study names no data sets of two modalities with the same items (convergence)",
            where="figure 'representations'",
        )
    drawings = []
    for (dataset, other), part in tables["representation_depth"].group_by(
        ["dataset", "other_dataset"], maintain_order=True
    ):
        mine = trends.filter((pl.col("dataset") == dataset) & (pl.col("other_dataset") == other))
        drawings.append(_representations(part, mine.row(0, named=True)))
    return drawings


def representation_words(row: dict[str, Any]) -> str:
    """The trend as a sentence without a full stop."""
    if row["p"] is None:
        return f"not tested ({row['reason'] or 'no spread over families'})"
    return (
        f"{number(row['early'], 3)} in the early half and {number(row['late'], 3)} in the late "
        f"one, difference 95 % interval {interval(row['low'], row['high'], 3)}, p "
        f"{p_value(row['p'])}"
    )


def _representations(rows: pl.DataFrame, trend: dict[str, Any]) -> Drawing:
    equal = rows.filter(pl.col("bin") == pl.col("other_bin"))
    best = rows.group_by("bin", "depth").agg(pl.col("cka").max()).sort("bin")
    none: list[float | None] = [None] * len(best)
    curves: list[Curve] = [
        ("at equal depth", *_points(equal, "cka")),
        ("at the other's best depth", best["depth"].to_list(), best["cka"].to_list(), none, none),
    ]
    pair = f"{trend['dataset']}, {trend['other_dataset']}"
    label = "CKA of representations, less its null"
    return Drawing(
        name=f"representations-{trend['dataset']}-{trend['other_dataset']}",
        figure="representations",
        title=f"Do vision and language models represent the same stimuli alike? ({pair})",
        caption=(
            f"Linear CKA (unbiased) of layers of {trend['n_models']} vision models "
            f"({trend['n_families']} families) and {trend['other_n_models']} language models "
            f"({trend['other_n_families']} families) for the same {trend['n_items']} stimuli, less "
            "the mean over permuted stimuli; mean over pairs of families. Band: jackknife over "
            f"families of both, 95 %. Late against early layers at equal depth: "
            f"{representation_words(trend)}. The best depth is the highest of 8, not chosen on "
            "other stimuli."
        ),
        alt="Lines of the similarity of vision and language layers over relative depth.",
        data=rows,
        static=_static(curves, label),
        interactive=_interactive(curves, label),
    )


def _colour(index: int) -> str:
    """Dark for the first curve, which stands for all."""
    return "#111827" if index == 0 else COLOURS[:-1][(index - 1) % (len(COLOURS) - 1)]


def _points(
    rows: pl.DataFrame, value: str, ends: tuple[str, str] = ("low", "high")
) -> tuple[list[float], list[float], list[float | None], list[float | None]]:
    part = rows.sort("depth")
    return (
        part["depth"].to_list(), part[value].to_list(), part[ends[0]].to_list(),
        part[ends[1]].to_list(),
    )  # fmt: skip


def _static(curves: list[Curve], label: str) -> Figure:
    figure, axes = new_figure(6.4, 4.0)
    for i, (name, x, y, low, high) in enumerate(curves):
        colour = _colour(i)
        style = ("-", "--", ":", "-.")[max(0, i - 1) // (len(COLOURS) - 1) % 4]
        axes.plot(x, y, style, color=colour, marker="o", markersize=3, linewidth=1.5, label=name)
        if i == 0 and None not in low:
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
    axes.set_xlabel(_AXIS)
    axes.set_ylabel(label)
    tidy(axes)
    figure.legend(frameon=False, fontsize=7, loc="outside right center")
    return figure


def _interactive(curves: list[Curve], label: str) -> go.Figure:
    figure = go.Figure()
    for i, (name, x, y, low, high) in enumerate(curves):
        colour = _colour(i)
        if i == 0 and x and None not in low:
            figure.add_scatter(
                x=x + x[::-1], y=high + low[::-1], fill="toself", mode="lines", hoverinfo="skip",
                line={"width": 0, "color": colour}, opacity=0.25, showlegend=False,
            )  # fmt: skip
        words = [interval(a, b, 3) for a, b in zip(low, high, strict=True)]
        hover = "<br>depth %{x:.2f}<br>%{y:.3f} %{text}<extra></extra>"
        figure.add_scatter(
            x=x, y=y, mode="lines+markers", name=name, text=words, line={"color": colour},
            hovertemplate=f"<b>{name}</b>{hover}",
        )  # fmt: skip
    return layout(
        figure,
        xaxis={"title": {"text": _AXIS}, "range": [0, 1]},
        yaxis={"title": {"text": label}},
    )
