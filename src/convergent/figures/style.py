"""One look for all figures: colours that colour-blind readers can tell apart, and shapes."""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import matplotlib as mpl
import plotly.graph_objects as go
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from convergent.errors import ConvergentError
from convergent.registry import FIGURES, PluginError

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


def number(value: float | None, digits: int = 2) -> str:
    """Round a number; a dash where there is none, and no minus before a zero."""
    if value is None or math.isnan(value):
        return "–"
    if digits == 2 and 0.995 <= abs(value) < 1:
        digits = 3  # A correlation of 0.998 is not 1.
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    """Write an interval as ``[low, high]``, or say that there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return "not available"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def p_value(value: float | None) -> str:
    """Write a p value with two significant digits, never as 0."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


Tables = Mapping[str, pl.DataFrame]


class FigureError(ConvergentError):
    """A figure cannot be drawn from the tables that are there."""


@dataclass(frozen=True)
class Drawing:
    """One drawn figure, static and interactive, with its words and its data.

    Attributes
    ----------
    name : str
        File name without extension, for example ``performance-alignment-scenes``.
    figure : str
        Name of the figure.
    title, caption, alt : str
        Heading; what, n and which test; what a reader who cannot see it should know.
    data : DataFrame
        Tidy data behind the drawing; ``<name>.tsv`` by convention.
    static : matplotlib Figure
    interactive : plotly Figure, optional
    selector : tuple of str
        One label a trace when the interactive figure shows one trace at a time.
    lazy : bool
        Whether the interactive figure is heavy and should be drawn only when asked for.
    """

    name: str
    figure: str
    title: str
    caption: str
    alt: str
    data: pl.DataFrame
    static: Figure
    interactive: go.Figure | None = None
    selector: tuple[str, ...] = ()
    lazy: bool = False

    def svg(self) -> str:
        """Static figure as SVG text; the same figure gives the same text."""
        options = {"svg.fonttype": "none", "svg.hashsalt": self.name}
        buffer = io.StringIO()
        with mpl.rc_context(options):
            self.static.savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()

    def pdf(self) -> bytes:
        """Static figure as PDF with its letters as TrueType fonts, which journals ask for."""
        buffer = io.BytesIO()
        with mpl.rc_context({"pdf.fonttype": 42}):
            self.static.savefig(buffer, format="pdf", metadata={"CreationDate": None})
        return buffer.getvalue()

    def png(self, *, dpi: int = 110) -> bytes:
        """Static figure as PNG."""
        buffer = io.BytesIO()
        self.static.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()

    def webp(self, *, dpi: int = 144) -> bytes:
        """Static figure as WebP: a tenth of the PNG for shaded surfaces and crowded scatters."""
        buffer = io.BytesIO()
        self.static.savefig(buffer, format="webp", dpi=dpi, pil_kwargs={"quality": 85})
        return buffer.getvalue()

    def plotly_json(self) -> str:
        """Interactive figure as JSON; ``null`` where there is none."""
        return "null" if self.interactive is None else str(self.interactive.to_json())


Draw = Callable[[Tables], list[Drawing]]


@dataclass(frozen=True)
class FigureSpec:
    """A figure: the function that draws it, and the tables that it reads.

    Attributes
    ----------
    draw : callable
        Tables in, drawings out (one per data set or benchmark); reads and writes no file.
    requires : tuple of str
        Names of the tables.
    """

    draw: Draw
    requires: tuple[str, ...]

    def __call__(self, tables: Tables) -> list[Drawing]:
        """Draw the figure."""
        return self.draw(tables)


def figure_of(*tables: str) -> Callable[[Draw], FigureSpec]:
    """Make a figure of a function; its name is that in `convergent.registry.FIGURES`.

    Parameters
    ----------
    *tables : str
        Names of the tables that it reads.
    """
    return lambda draw: FigureSpec(draw, tables)


@dataclass(frozen=True)
class NotDrawn:
    """A figure that could not be drawn, and why."""

    figure: str
    reason: str


def draw_figure(name: str, tables: Tables) -> list[Drawing]:
    """Draw one figure.

    Raises
    ------
    UnknownKeyError, PluginError
        If there is no such figure, or it cannot be used.
    FigureError
        If a table is missing, or has nothing to show.
    """
    spec: FigureSpec = FIGURES.load(name)
    absent = [table for table in spec.requires if table not in tables]
    if absent:
        raise FigureError(f"needs the table(s) {', '.join(absent)}", where=f"figure '{name}'")
    with FIGURES.running(name):
        drawings = spec(tables)
    if not drawings:
        raise FigureError("the tables hold nothing to show", where=f"figure '{name}'")
    return drawings


def draw_all(tables: Tables) -> tuple[list[Drawing], list[NotDrawn]]:
    """Draw every figure; name those that cannot be drawn and why.

    Parameters
    ----------
    tables : dict of str to DataFrame
        From `figure_tables`.

    Returns
    -------
    drawings : list of Drawing
    not_drawn : list of NotDrawn
    """
    drawings: list[Drawing] = []
    not_drawn: list[NotDrawn] = []
    for name in FIGURES.names():
        try:
            drawings += draw_figure(name, tables)
        except (FigureError, PluginError) as error:
            not_drawn.append(NotDrawn(name, str(error)))
    return drawings, not_drawn
