"""What a figure is, and the list of those that exist."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import matplotlib as mpl
import plotly.graph_objects as go
import polars as pl
from matplotlib.figure import Figure

from convergent.errors import ConvergentError, UnknownKeyError, did_you_mean

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
        Registered name of the figure.
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
    """A registered figure.

    Attributes
    ----------
    name : str
    requires : tuple of str
        Names of the tables that it reads.
    draw : callable
        Tables in, drawings out (one a data set or benchmark); reads and writes no file.
    """

    name: str
    requires: tuple[str, ...]
    draw: Draw


@dataclass(frozen=True)
class NotDrawn:
    """A figure that could not be drawn, and why."""

    figure: str
    reason: str


_FIGURES: dict[str, FigureSpec] = {}


def register_figure(name: str, *, requires: tuple[str, ...]) -> Callable[[Draw], Draw]:
    """Register a function that draws a figure.

    Parameters
    ----------
    name : str
        Name of the figure, unique.
    requires : tuple of str
        Tables it needs.

    Raises
    ------
    FigureError
        If the name is taken.
    """

    def decorate(draw: Draw) -> Draw:
        if name in _FIGURES:
            raise FigureError(f"figure '{name}' is registered twice", fix="give it another name")
        _FIGURES[name] = FigureSpec(name, requires, draw)
        return draw

    return decorate


def figure_names() -> tuple[str, ...]:
    """Names of the registered figures, in order of registration."""
    return tuple(_FIGURES)


def draw_figure(name: str, tables: Tables) -> list[Drawing]:
    """Draw one registered figure.

    Raises
    ------
    UnknownKeyError
        If no such figure is registered.
    FigureError
        If a table is missing, or has nothing to show.
    """
    if name not in _FIGURES:
        raise UnknownKeyError(f"no figure '{name}'", fix=did_you_mean(name, _FIGURES))
    spec = _FIGURES[name]
    absent = [table for table in spec.requires if table not in tables]
    if absent:
        raise FigureError(f"needs the table(s) {', '.join(absent)}", where=f"figure '{name}'")
    drawings = spec.draw(tables)
    if not drawings:
        raise FigureError("the tables hold nothing to show", where=f"figure '{name}'")
    return drawings


def draw_all(tables: Tables) -> tuple[list[Drawing], list[NotDrawn]]:
    """Draw every registered figure; name those that cannot be drawn and why.

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
    for name in _FIGURES:
        try:
            drawings += draw_figure(name, tables)
        except FigureError as error:
            not_drawn.append(NotDrawn(name, str(error)))
    return drawings, not_drawn
