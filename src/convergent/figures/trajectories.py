"""Performance and alignment over training, step 0 shown."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from convergent.figures.style import (
    COLOURS,
    Drawing,
    Tables,
    family_marks,
    figure_of,
    layout,
    new_figure,
    tidy,
)

_PANELS = (("alignment", "alignment (mean r)"), ("performance", "performance"))


@figure_of("trajectories", "onsets")
def training_trajectories(tables: Tables) -> list[Drawing]:
    """Two panels over one logarithmic step axis: alignment above, performance below.

    An open mark shows where each model's curve has covered half of its own range.
    """
    half = tables["onsets"].filter(
        (pl.col("choice") == "best") & (pl.col("share") == 0.5) & pl.col("position").is_not_null()
    )
    rows = tables["trajectories"].filter(pl.col("choice") == "best")
    return [
        _draw(
            str(dataset),
            str(benchmark),
            part,
            half.filter(
                (pl.col("dataset") == dataset)
                & pl.col("measure").is_in(["alignment", str(benchmark)])
            ),
        )
        for (dataset, benchmark), part in rows.group_by(
            ["dataset", "benchmark"], maintain_order=True
        )
    ]


def _draw(dataset: str, benchmark: str, rows: pl.DataFrame, half: pl.DataFrame) -> Drawing:
    models = rows["model"].n_unique()
    missing = rows["performance"].null_count()
    subjects = rows["n_subjects"].to_list()
    caption = (
        f"Brain alignment (mean r over regions above the noise-ceiling threshold and "
        f"{max(subjects)} subjects) and performance ({benchmark}) at each checkpoint of "
        f"{models} model(s), data set {dataset}; logarithmic step axis with step 0 (untrained) at "
        "its left end. Values as measured, not rescaled. Large open marks: half of each curve's "
        f"own range by a monotone fit ({len(half)} of {2 * models} curves rise clearly above their "
        "scatter); which comes first is tested in the figure of lags."
        + (f" {missing} checkpoint(s) without a measured performance." if missing else "")
    )
    last = (
        rows.sort("step")
        .group_by("model", maintain_order=True)
        .agg(pl.col("alignment").first().alias("first"), pl.col("alignment").last().alias("last"))
    )
    rising = int((last["last"] > last["first"]).sum())
    return Drawing(
        name=f"trajectories-{dataset}-{benchmark}",
        figure="trajectories",
        title=f"How alignment and performance grow in training ({dataset})",
        caption=caption,
        alt=f"Lines over training steps for {models} models. Alignment ends above its value at the "
        f"first step for {rising} of {models}.",
        data=rows,
        static=_static(rows, benchmark, half),
        interactive=_interactive(rows, benchmark, half),
    )


def _ticks(rows: pl.DataFrame) -> tuple[list[float], list[str]]:
    """Step 0, and as many of the other steps as stand apart from one another."""
    steps = rows.select("step", "position").unique().sort("step")
    ends = steps["position"].to_list()
    span = (ends[-1] - ends[0]) or 1.0
    places: list[float] = []
    words: list[str] = []
    for step, place in steps.iter_rows():
        if not places or place - places[-1] > 0.09 * span:
            places.append(place)
            words.append(f"{step / 1000:g}k" if step >= 1000 else str(step))
    return places, words


def _onsets(half: pl.DataFrame, model: str, column: str) -> list[tuple[float, float]]:
    """Place and level of half of the range, of every run of a model."""
    mine = half.filter(
        (pl.col("model") == model) & ((pl.col("measure") == "alignment") == (column == "alignment"))
    )
    return mine.select("position", (pl.col("first") + pl.col("last")) / 2).rows()


def _lines(rows: pl.DataFrame) -> list[tuple[str, str, pl.DataFrame]]:
    """One line a model; checkpoints at one step (seeds) are averaged in the line."""
    marks = family_marks(rows["family"].to_list())
    result: list[tuple[str, str, pl.DataFrame]] = []
    for (model, family), part in rows.group_by(["model", "family"], maintain_order=True):
        line = (
            part.group_by("step", "position")
            .agg(pl.col("alignment", "performance").mean())
            .sort("step")
        )
        colour = marks[str(family)].colour if len(marks) > 1 else COLOURS[len(result) % 7]
        result.append((str(model), colour, line))
    return result


def _static(rows: pl.DataFrame, benchmark: str, half: pl.DataFrame) -> Figure:
    figure, axes = new_figure(6.4, 5.4, nrows=2, sharex=True)
    lines = _lines(rows)
    for panel, (column, label) in zip(axes, _PANELS, strict=True):
        for i, (model, colour, line) in enumerate(lines):
            panel.plot(
                line["position"].to_list(), line[column].to_list(), marker="osD^vXP*"[i % 8],
                markersize=4, linewidth=1.2, color=colour, label=model,
            )  # fmt: skip
            for place, level in _onsets(half, model, column):
                panel.plot([place], [level], marker="o", markersize=9, mfc="none", mec=colour)
        panel.set_ylabel(label if column == "alignment" else f"{label}: {benchmark}")
        tidy(panel)
    places, words = _ticks(rows)
    axes[1].set_xticks(places, words)
    axes[1].set_xlabel("training step (logarithmic; 0 at the left end)")
    if len(lines) <= 12:
        axes[0].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _interactive(rows: pl.DataFrame, benchmark: str, half: pl.DataFrame) -> go.Figure:
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.06)
    symbols = ("circle", "square", "diamond", "triangle-up", "triangle-down", "x", "cross", "star")
    for i, (model, colour, line) in enumerate(_lines(rows)):
        for panel, (column, _) in enumerate(_PANELS, start=1):
            figure.add_scatter(
                x=line["position"].to_list(), y=line[column].to_list(), mode="lines+markers",
                name=model, legendgroup=model, showlegend=panel == 1, row=panel, col=1,
                line={"color": colour}, marker={"symbol": symbols[i % 8], "size": 8},
                text=[str(step) for step in line["step"]],
                hovertemplate=f"<b>{model}</b><br>step %{{text}}<br>{column} %{{y:.3f}}"
                "<extra></extra>",
            )  # fmt: skip
            marked = _onsets(half, model, column)
            if marked:
                figure.add_scatter(
                    x=[place for place, _ in marked], y=[level for _, level in marked],
                    mode="markers", legendgroup=model, showlegend=False, row=panel, col=1,
                    marker={"symbol": "circle-open", "size": 14, "color": colour},
                    hovertemplate=f"<b>{model}</b><br>half of its range at step "
                    f"{10 ** marked[0][0]:.3g}<extra></extra>",
                )  # fmt: skip
    places, words = _ticks(rows)
    figure.update_xaxes(tickvals=places, ticktext=words)
    figure.update_xaxes(title_text="training step (log; 0 at the left)", row=2, col=1)
    figure.update_yaxes(title_text="alignment (mean r)", row=1, col=1)
    figure.update_yaxes(title_text=benchmark, row=2, col=1)
    return layout(figure, height=560)
