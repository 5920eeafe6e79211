"""Trained models beside their random twins and the controls."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from convergent.figures.style import GREY, Drawing, Tables, figure_of, layout, new_figure, tidy

MAXIMUM_ROWS = 60
_KINDS = (
    ("trained", "trained", "#0072B2", "o", "circle"),
    ("random", "random weights", "#D55E00", "s", "square-open"),
    ("control", "control", GREY, "D", "diamond-open"),
)


@figure_of("model_alignment")
def controls(tables: Tables) -> list[Drawing]:
    """One row a model: trained weights, random weights, and the controls as rows of their own."""
    rows = tables["model_alignment"].filter(
        (pl.col("scope") == "all")
        & (pl.col("choice") == "best")
        & ((pl.col("role") == "random") | pl.col("final"))
    )
    return [
        _draw(str(dataset), part)
        for (dataset,), part in rows.group_by(["dataset"], maintain_order=True)
    ]


def twin_differences(averaged: pl.DataFrame) -> pl.DataFrame:
    """Compare each final trained model with the mean of its random twins.

    Parameters
    ----------
    averaged : DataFrame
        From `convergent.statistics.model_alignment`.

    Returns
    -------
    DataFrame
        dataset, family, model, trained, random (mean over seeds; null without twins), n_random,
        difference; scope ``all`` and the best layer.
    """
    rows = averaged.filter((pl.col("scope") == "all") & (pl.col("choice") == "best"))
    keys = ["dataset", "model"]
    twins = (
        rows.filter(pl.col("role") == "random")
        .group_by(keys)
        .agg(random=pl.col("alignment").mean(), n_random=pl.len().cast(pl.Int64))
    )
    return (
        rows.filter((pl.col("role") == "trained") & pl.col("final"))
        .select("dataset", "family", "model", trained="alignment")
        .join(twins, on=keys, how="left")
        .with_columns(
            pl.col("n_random").fill_null(0), difference=pl.col("trained") - pl.col("random")
        )
        .sort("dataset", "trained", "model", descending=[False, True, False], nulls_last=True)
    )


def _draw(dataset: str, rows: pl.DataFrame) -> Drawing:
    table = rows.select(
        "dataset", "family", "model", "checkpoint", "role", "alignment", "n_subjects", "n_regions"
    )
    top = (
        table.filter(pl.col("role") != "random")
        .sort("alignment", "model", descending=[True, False], nulls_last=True)["model"]
        .to_list()
    )
    # Controls always stay: they are what the others are compared with.
    always = table.filter(pl.col("role") == "control")["model"].to_list()
    names = [name for i, name in enumerate(top) if i < MAXIMUM_ROWS or name in always]
    pairs = twin_differences(rows.with_columns(scope=pl.lit("all"))).drop_nulls("difference")
    better = int((pairs["difference"] > 0).sum())
    caption = (
        f"Alignment of each model (mean r, best layer) in data set {dataset}: trained weights, "
        "random weights of the same architecture (one mark a seed), and controls without weights. "
        f"Trained weights align better than the mean of their random twins for {better} of "
        f"{pairs.height} models with twins."
        + (f" The {MAXIMUM_ROWS} best-aligned of {len(top)} are drawn." * (len(top) > MAXIMUM_ROWS))
        + " Descriptive; no test."
    )
    return Drawing(
        name=f"controls-{dataset}",
        figure="controls",
        title=f"Against random weights and controls ({dataset})",
        caption=caption,
        alt=f"Dot plot, one row a model. Trained weights exceed random weights for {better} of "
        f"{pairs.height} models.",
        data=table,
        static=_static(table, names),
        interactive=_interactive(table, names),
    )


def _static(table: pl.DataFrame, names: list[str]) -> Figure:
    figure, axes = new_figure(6.4, max(2.4, 0.2 * len(names) + 1.2))
    at = {name: len(names) - 1 - i for i, name in enumerate(names)}
    for role, label, colour, marker, _ in _KINDS:
        rows = table.filter((pl.col("role") == role) & pl.col("model").is_in(names))
        if rows.is_empty():
            continue
        axes.scatter(
            rows["alignment"].to_list(), [at[name] for name in rows["model"]], s=26, marker=marker,
            facecolor=colour if role == "trained" else "white", edgecolor=colour, label=label,
        )  # fmt: skip
    axes.set_yticks(list(at.values()), list(at), fontsize=7)
    axes.set_ylim(-0.8, len(names) - 0.2)  # No empty rows: there may be many.
    axes.set_xlabel("alignment (mean r)")
    tidy(axes)
    figure.legend(frameon=False, fontsize=8, loc="outside upper center", ncols=3)
    return figure


def _interactive(table: pl.DataFrame, names: list[str]) -> go.Figure:
    figure = go.Figure()
    for role, label, colour, _, symbol in _KINDS:
        rows = table.filter((pl.col("role") == role) & pl.col("model").is_in(names))
        if rows.is_empty():
            continue
        figure.add_scatter(
            x=rows["alignment"].to_list(), y=rows["model"].to_list(), mode="markers", name=label,
            marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 2}},
            text=rows["checkpoint"].to_list(), customdata=rows["model"].to_list(),
            hovertemplate="<b>%{y}</b> (%{text})<br>r %{x:.3f}<extra></extra>",
        )  # fmt: skip
    # Room below for the axis title and a legend of one to three lines, in pixels.
    height = max(300, 20 * len(names) + 190)
    return layout(
        figure,
        height=height,
        margin={"l": 8, "r": 8, "t": 36, "b": 120},
        xaxis={"title": {"text": "alignment (mean r)"}},
        yaxis={
            "categoryorder": "array", "categoryarray": names[::-1], "automargin": True,
            "tickfont": {"size": 11}, "dtick": 1,
        },
        legend={"orientation": "h", "yanchor": "top", "y": -52 / (height - 156), "x": 0},
    )  # fmt: skip
