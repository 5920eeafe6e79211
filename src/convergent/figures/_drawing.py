"""What a figure is, and how figures are drawn by name."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import matplotlib as mpl
import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from convergent.errors import ConvergentError
from convergent.registry import FIGURES, PluginError

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
