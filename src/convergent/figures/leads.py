"""Lag of performance behind alignment, with intervals and what curves without a lead give."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from convergent.figures.style import (
    COLOURS,
    GREY,
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

_MOST = 40
_TOGETHER, _ALL = "all", "all models"
_COLOUR = {"alignment first": COLOURS[0], "performance first": COLOURS[1]}


@figure_of("leads")
def training_leads(tables: Tables) -> list[Drawing]:
    """One row a model and one for all; a panel for 10, 50 and 90 % of the range.

    Raises
    ------
    FigureError
        No lag is defined; the message says why.
    """
    best = tables["leads"].filter(pl.col("choice") == "best")
    rows = best.filter(pl.col("lag").is_not_null())
    if rows.is_empty() and not best.is_empty():
        why = "; ".join(sorted(set(best["reason"].to_list()))[:3])
        raise FigureError(f"no lag is defined ({why})", where="figure 'leads'")
    return [
        _draw(str(dataset), str(benchmark), part)
        for (dataset, benchmark), part in rows.group_by(
            ["dataset", "benchmark"], maintain_order=True
        )
    ]


def _draw(dataset: str, benchmark: str, rows: pl.DataFrame) -> Drawing:
    middle = rows.filter((pl.col("model") == _TOGETHER) & (pl.col("share") == 0.5)).row(
        0, named=True
    )
    shown = _shown(rows)
    hidden = rows["model"].n_unique() - shown["model"].n_unique()
    stimuli = f"{middle['resamples']} resamples of the stimuli, " if middle["resamples"] else ""
    caption = (
        f"How long after alignment performance ({benchmark}) covers 10, 50 and 90 % of its own "
        f"range, in decades of training steps (1: ten times the steps; right: alignment first), "
        f"data set {dataset}, {middle['n_models']} model(s), {middle['n_runs']} training run(s), "
        f"from monotone fits over {middle['n_checkpoints']} checkpoints or more. Lines: 95 % "
        f"interval over {stimuli}{middle['n_subjects']} subjects, the scatter of checkpoints and, "
        "for all models, models and seeds. Grey: 95 % of the lags of simulated pairs of curves "
        "without any lead, with the same noise and checkpoints."
        + (f" {middle['n_unclear']} run(s) do not rise clearly." if middle["n_unclear"] else "")
        + (f" {hidden} further models are in the data." if hidden else "")
        + _kind_note(str(middle["kind"]))
    )
    return Drawing(
        name=f"leads-{dataset}-{benchmark}",
        figure="leads",
        title=f"Which comes first, alignment or {benchmark} ({dataset})",
        caption=caption,
        alt=f"Lag at half of the range over all models: {number(middle['lag'])} decades, interval "
        f"{interval(middle['low'], middle['high'])}, p {p_value(middle['p'])}.",
        data=rows,
        static=_static(shown),
        interactive=_interactive(shown),
    )


def _kind_note(kind: str) -> str:
    if kind == "continuous":
        return ""
    why = "shares of right answers" if kind == "thresholded" else "perplexities"
    return f" Shown, but no order is claimed from {why}: their onsets shift without any lead."


def _shown(rows: pl.DataFrame) -> pl.DataFrame:
    """All models together first, then models by name."""
    models = sorted(set(rows["model"].to_list()) - {_TOGETHER})
    order = [_TOGETHER, *(models if len(models) > 1 else [])][: _MOST + 1]
    place = pl.col("model").replace_strict(order, list(range(len(order))), default=None)
    return (
        rows.with_columns(place=place.cast(pl.Int64))
        .filter(pl.col("place").is_not_null())
        .with_columns(label=pl.col("model").replace(_TOGETHER, _ALL))
        .sort("share", "place")
    )


def _panels(rows: pl.DataFrame) -> list[tuple[float, list[dict[str, Any]]]]:
    return [
        (float(share), list(part.iter_rows(named=True)))
        for (share,), part in rows.group_by(["share"], maintain_order=True)
    ]


def _static(rows: pl.DataFrame) -> Figure:
    panels = _panels(rows)
    labels = rows.select("place", "label").unique().sort("place")
    figure, axes = new_figure(
        7.2, 1.6 + 0.24 * len(labels), ncols=len(panels), sharex=True, sharey=True, squeeze=False
    )
    for axis, (share, part) in zip(axes[0], panels, strict=True):
        for row in part:
            y, colour = row["place"], _COLOUR.get(row["verdict"], COLOURS[6])
            axis.plot([row["null_low"], row["null_high"]], [y, y], color="#d1d5db", linewidth=7)
            axis.plot([row["low"], row["high"]], [y, y], color=colour, linewidth=1.4)
            axis.plot([row["lag"]], [y], marker="D" if y == 0 else "o", color=colour, markersize=5)
        axis.axvline(0, color=GREY, linewidth=0.8)
        axis.set_title(f"{share:.0%} of the range", fontsize=9)
        axis.set_xlabel("lag (decades of steps)")
        tidy(axis)
    axes[0][0].set_yticks(labels["place"].to_list(), labels["label"].to_list(), fontsize=8)
    axes[0][0].invert_yaxis()
    return figure


def _interactive(rows: pl.DataFrame) -> go.Figure:
    panels = _panels(rows)
    figure = make_subplots(
        rows=1, cols=len(panels), shared_yaxes=True, horizontal_spacing=0.03,
        subplot_titles=[f"{share:.0%} of the range" for share, _ in panels],
    )  # fmt: skip
    for column, (_, part) in enumerate(panels, start=1):
        places = [row["place"] for row in part]
        figure.add_bar(
            x=[row["null_high"] - row["null_low"] for row in part],
            base=[row["null_low"] for row in part],
            y=places, orientation="h", width=0.5, marker_color="#d1d5db", hoverinfo="skip",
            name="95 % without a lead", showlegend=column == 1, row=1, col=column,
        )  # fmt: skip
        figure.add_scatter(
            x=[row["lag"] for row in part], y=places, mode="markers",
            error_x={
                "type": "data", "symmetric": False,
                "array": [row["high"] - row["lag"] for row in part],
                "arrayminus": [row["lag"] - row["low"] for row in part],
            },
            marker={
                "size": 8, "color": [_COLOUR.get(row["verdict"], COLOURS[6]) for row in part],
                "symbol": ["diamond" if row["place"] == 0 else "circle" for row in part],
            },
            customdata=[
                [row["label"], interval(row["low"], row["high"]), p_value(row["p"]), row["verdict"]]
                for row in part
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>lag %{x:.2f} decades %{customdata[1]}<br>"
            "p %{customdata[2]}: %{customdata[3]}<extra></extra>",
            name="lag, 95 % interval", showlegend=column == 1, row=1, col=column,
        )  # fmt: skip
    labels = rows.select("place", "label").unique().sort("place")
    figure.update_yaxes(
        tickvals=labels["place"].to_list(), ticktext=labels["label"].to_list(), autorange="reversed"
    )
    figure.update_xaxes(title_text="lag (decades)")
    return layout(figure, height=220 + 24 * len(labels), barmode="overlay")
