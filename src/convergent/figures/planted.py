"""Planted against recovered, for simulated data."""

from __future__ import annotations

import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from convergent.figures.style import (
    GREY,
    Drawing,
    Tables,
    figure_of,
    layout,
    new_figure,
    number,
    tidy,
)

_PANELS = (
    ("depth", "depth of chosen layer"),
    ("gain", "best model less best control (r)"),
)


@figure_of("recovery_regions", "recovery_checks")
def planted_recovered(tables: Tables) -> list[Drawing]:
    """Planted high-level weight of each region against what the workflow found there."""
    return [
        _draw(str(dataset), part, tables["recovery_checks"].filter(pl.col("dataset") == dataset))
        for (dataset,), part in tables["recovery_regions"].group_by(
            ["dataset"], maintain_order=True
        )
    ]


def _draw(dataset: str, rows: pl.DataFrame, checks: pl.DataFrame) -> Drawing:
    passed = int(checks["passed"].fill_null(False).sum())
    made = checks["passed"].drop_nulls().len()
    depth, gain = (_recovered(checks, f"weight against {what}") for what in ("depth", "gain"))
    caption = (
        f"Simulated subjects, data set {dataset}: planted weight of high-level features in each of "
        f"{rows.height} regions against the mean relative depth of the layers chosen (Spearman rho "
        f"{depth}) and against the gain of the best model over the best control or random twin "
        f"(rho {gain}), over driven regions. Hollow: regions that nothing drives. {passed} of "
        f"{made} checks pass."
    )
    return Drawing(
        name=f"planted-recovered-{dataset}",
        figure="planted-recovered",
        title=f"Planted against recovered ({dataset}, simulated subjects)",
        caption=caption,
        alt=f"Two scatter plots over {rows.height} regions; Spearman rho {depth} and {gain}.",
        data=rows,
        static=_static(rows),
        interactive=_interactive(rows),
    )


def _recovered(checks: pl.DataFrame, words: str) -> str:
    """Value of the check that is called so."""
    (value,) = checks.filter(pl.col("check").str.contains(words, literal=True))["recovered"]
    return number(value)


def _parts(rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame, bool]]:
    parts = [("driven", rows.filter(pl.col("driven")), True),
             ("nothing drives it", rows.filter(~pl.col("driven")), False)]  # fmt: skip
    return [part for part in parts if part[1].height]


def _static(rows: pl.DataFrame) -> Figure:
    figure, axes = new_figure(7.4, 3.6, ncols=2)
    for panel, (column, label) in zip(axes, _PANELS, strict=True):
        for name, part, driven in _parts(rows.drop_nulls(column)):
            panel.scatter(
                part["high_level"].to_list(), part[column].to_list(), s=30, label=name,
                facecolor="#0072B2" if driven else "none", edgecolor="#0072B2" if driven else GREY,
            )  # fmt: skip
        panel.set_xlabel("planted high-level weight")
        panel.set_ylabel(label)
        tidy(panel)
    axes[0].legend(frameon=False, fontsize=8)
    return figure


def _interactive(rows: pl.DataFrame) -> go.Figure:
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    for i, (column, label) in enumerate(_PANELS, start=1):
        for name, part, driven in _parts(rows.drop_nulls(column)):
            figure.add_scatter(
                x=part["high_level"].to_list(), y=part[column].to_list(), mode="markers",
                name=name, legendgroup=name, showlegend=i == 1, row=i, col=1,
                marker={
                    "size": 10, "color": "#0072B2" if driven else GREY,
                    "symbol": "circle" if driven else "circle-open", "line": {"width": 1},
                },
                text=part["region"].to_list(),
                hovertemplate="<b>%{text}</b><br>planted %{x:.2f}<br>found %{y:.3f}<extra></extra>",
            )  # fmt: skip
        figure.update_yaxes(title_text=label, row=i, col=1)
    figure.update_xaxes(title_text="planted high-level weight", row=2, col=1)
    return layout(figure, height=560, legend={"orientation": "h", "yanchor": "top", "y": -0.12})
