"""One look for all figures: colours that colour-blind readers can tell apart, and shapes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito (2008) without yellow, which is lost on white. 7 colours and 8 shapes have no
# common divisor, so 56 families differ in colour or shape.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_SHAPES = (
    ("o", "circle"),
    ("s", "square"),
    ("^", "triangle-up"),
    ("D", "diamond"),
    ("v", "triangle-down"),
    ("X", "x"),
    ("P", "cross"),
    ("*", "star"),
)
GREY = "#6b7280"
MAXIMUM_FAMILIES = 12
OTHERS = "other families"


class Mark(NamedTuple):
    """Colour and shape of one family."""

    colour: str
    marker: str
    symbol: str


def family_marks(families: Iterable[str]) -> dict[str, Mark]:
    """Give the largest families a colour and a shape each; the rest share grey circles.

    Parameters
    ----------
    families : iterable of str
        Family of every model; repeats count its size.

    Returns
    -------
    dict of str to Mark
    """
    sizes = Counter(families)
    ranked = sorted(sizes, key=lambda name: (-sizes[name], name))
    marks = {}
    for i, name in enumerate(ranked):
        if i < MAXIMUM_FAMILIES:
            marker, symbol = _SHAPES[i % len(_SHAPES)]
            marks[name] = Mark(COLOURS[i % len(COLOURS)], marker, symbol)
        else:
            marks[name] = Mark(GREY, "o", "circle")
    return marks


def shown_families(families: Iterable[str]) -> dict[str, str]:
    """Legend entry of each family: its own name, or one name for all the small ones."""
    marks = family_marks(families)
    named = list(marks)[:MAXIMUM_FAMILIES]
    return {name: name if name in named else OTHERS for name in marks}


def new_figure(width: float = 6.4, height: float = 4.4, **subplots: Any) -> tuple[Figure, Any]:
    """Make a static figure that belongs to no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(**subplots)
    return figure, axes


def tidy(axes: Axes) -> None:
    """Take the box off and lay a light grid under the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e5e7eb", linewidth=0.6)
    axes.set_axisbelow(True)


def layout(figure: go.Figure, *, height: int = 480, **options: Any) -> go.Figure:
    """Apply the common layout of the interactive figures."""
    settings: dict[str, Any] = {
        "template": "plotly_white",
        "height": height,
        "autosize": True,
        "margin": {"l": 60, "r": 16, "t": 36, "b": 56},
        "font": {"family": "system-ui, -apple-system, Segoe UI, sans-serif", "size": 13},
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "legend": {"orientation": "h", "yanchor": "top", "y": -0.18, "x": 0},
    }
    figure.update_layout(**(settings | options))
    return figure
