"""Figures made ready for the page."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass

from convergent.figures import Drawing

from ._pack import plain, share
from ._sections import Table, data_table

# Above this a picture with a mark a model is smaller in pixels.
LARGEST_SVG = 150_000


@dataclass(frozen=True)
class Embedded:
    """One figure of the page.

    Attributes
    ----------
    drawing : Drawing
    data : plain data, optional
        The interactive figure with its shared parts taken out.
    height : int
        Height in pixels kept free for it, so that the page does not jump.
    legend : str
        Lengths of the legend's entries: on a narrow screen it needs rows of its own.
    image : str
        The static figure as data URL: for print, for browsers without scripts, and until a heavy
        figure is asked for.
    size : tuple of int
        Width and height of the static figure in pixels of the page.
    table : Table
        Its data.
    file : str
        Tidy data and the figure as SVG and PDF, relative to the page, without extension.
    """

    drawing: Drawing
    data: object
    height: int
    legend: str
    image: str
    size: tuple[int, int]
    table: Table
    file: str


def embed(drawings: Sequence[Drawing], folder: str) -> tuple[list[Embedded], list[object]]:
    """Make drawings ready for the page.

    Parameters
    ----------
    drawings : sequence of Drawing
    folder : str
        Where the tidy data lie, relative to the page.

    Returns
    -------
    figures : list of Embedded
    shared : list
        Parts that several figures refer to.
    """
    data, shared = share(
        {
            drawing.name: plain(json.loads(drawing.plotly_json()))
            for drawing in drawings
            if drawing.interactive is not None
        }
    )
    figures = [
        Embedded(
            drawing,
            data.get(drawing.name),
            0 if drawing.interactive is None else int(drawing.interactive.layout.height),
            _legend(drawing),
            _image(drawing),
            _size(drawing),
            data_table(drawing),
            f"{folder}/{drawing.name}",
        )
        for drawing in drawings
    ]
    return figures, shared


def _legend(drawing: Drawing) -> str:
    figure = drawing.interactive
    if figure is None or figure.layout.showlegend is False:
        return ""
    shown: dict[str, int] = {}
    for trace in figure.data:
        if trace.type in ("scatter", "scattergl", "bar") and trace.showlegend is not False:
            shown.setdefault(trace.legendgroup or trace.name or "", len(trace.name or ""))
    lengths = [length for length in shown.values() if length]
    return " ".join(map(str, lengths)) if len(lengths) > 1 else ""


def _size(drawing: Drawing) -> tuple[int, int]:
    width, height = drawing.static.get_size_inches()
    return round(96 * width), round(96 * height)


def _image(drawing: Drawing) -> str:
    picture, kind = drawing.svg().encode(), "svg+xml"
    if drawing.lazy or len(picture) > LARGEST_SVG:
        picture, kind = drawing.webp(), "webp"
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def model_index(models: Sequence[str], drawings: Sequence[Drawing]) -> dict[str, object]:
    """Say which figure shows which model, for the page's search.

    Parameters
    ----------
    models : sequence of str
        Every model of the study.
    drawings : sequence of Drawing
        Those with a column ``model`` in their data are searched.

    Returns
    -------
    dict
        models, sorted, and figures: name of a drawing to the positions of its models.
    """
    known = sorted(set(models))
    position = {model: i for i, model in enumerate(known)}
    figures = {}
    for drawing in drawings:
        if "model" in drawing.data.columns:
            shown = drawing.data["model"].drop_nulls().unique().to_list()
            held = sorted(position[model] for model in shown if model in position)
            if held:
                figures[drawing.name] = held
    return {"models": known, "figures": figures}
