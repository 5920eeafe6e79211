"""The page: everything put into one HTML file that needs no network."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from convergent.figures import Drawing, NotDrawn, draw_all
from convergent.report import sections as sections
from convergent.report.answers import STATES, Answer, Facts, all_answers, cards, vitals
from convergent.report.inputs import ReportInputs, coverage_words, report_tables
from convergent.report.methods import methods, unique_words
from convergent.report.sections import (
    CEILING_NOTE,
    Table,
    ceiling_table,
    claim_tables,
    data_table,
    scores_table,
)

DIGITS = 6
LEAST = 1500
REFERENCE = "$shared"


def pack(value: Any) -> str:
    """Write plain data as JSON, compressed, as text that can stand in any HTML element.

    Parameters
    ----------
    value : str, list, dict, number, bool or None
        A string is taken as it is; all else becomes JSON.

    Returns
    -------
    str
        Base64 of gzip; the same value gives the same text.
    """
    text = value if isinstance(value, str) else _json(value)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def unpack(text: str) -> str:
    """Read what `pack` wrote."""
    return gzip.decompress(base64.b64decode(text)).decode()


@lru_cache(maxsize=1)
def packed_plotly() -> str:
    """Plotly's script, compressed: 2 MB instead of 5."""
    from plotly.offline import get_plotlyjs

    return pack(get_plotlyjs())


def plain(value: Any) -> Any:
    """Turn a figure of plotly into lists, dicts and rounded numbers.

    Plotly writes arrays as bytes in base64, which compress badly; rounded to six digits, more
    than a screen or a hover shows, they take a fifth.

    Parameters
    ----------
    value : Any
        What ``json.loads(figure.to_json())`` gives.
    """
    if isinstance(value, float):
        return _rounded(value)
    if isinstance(value, Mapping):
        if "bdata" in value and "dtype" in value:
            return plain(_array(value).tolist())
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def share(figures: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """Keep once what several figures carry: meshes, area names, the template.

    Parameters
    ----------
    figures : dict of str to plain data
        Figures by name.

    Returns
    -------
    figures : dict of str to plain data
        With ``{"$shared": i}`` in place of each part that occurs more than once.
    parts : list
        The shared parts, by that index.
    """
    texts: Counter[str] = Counter(text for figure in figures.values() for text in _parts(figure))
    index: dict[str, int] = {}
    parts: list[Any] = []

    def replaced(value: Any) -> Any:
        if not isinstance(value, (dict, list)):
            return value
        text = _json(value)
        if len(text) >= LEAST and texts[text] > 1:
            if text not in index:
                index[text] = len(parts)
                parts.append(value)
            return {REFERENCE: index[text]}
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        return [replaced(item) for item in value] if _nested(value) else value

    return {name: replaced(figure) for name, figure in figures.items()}, parts


def _parts(value: Any) -> Iterator[str]:
    """JSON of every list and dict that is long enough to be worth sharing."""
    if not isinstance(value, (dict, list)):
        return
    text = _json(value)
    if len(text) < LEAST:
        return
    yield text
    if isinstance(value, dict) or _nested(value):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _parts(item)


def _nested(value: list[Any]) -> bool:
    return any(isinstance(item, (dict, list)) for item in value[:1])


def _array(value: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    raw = np.frombuffer(base64.b64decode(value["bdata"]), dtype=np.dtype(value["dtype"]))
    shape = value.get("shape")
    if shape is None:
        return raw
    return raw.reshape([int(n) for n in str(shape).split(",")])


def _rounded(value: float) -> float | int | None:
    if not np.isfinite(value):
        return None
    short = float(f"{value:.{DIGITS}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


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


# Registered figures in reading order. A figure that no section names stands in the last one.
_SECTIONS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "performance",
        "Performance and alignment",
        "Performance",
        ("performance-alignment", "metrics"),
    ),
    (
        "training",
        "Training",
        "Training",
        ("trajectories", "leads"),
    ),
    (
        "regions",
        "Regions",
        "Regions",
        ("cortical-surface", "gradient", "networks", "region-bars", "region-dots"),
    ),
    (
        "scale",
        "Scale and depth",
        "Scale and depth",
        ("scales", "scale-peaks", "depth", "layer-region", "convergence", "representations"),
    ),
    (
        "controls",
        "Controls and coverage",
        "Controls",
        ("controls", "planted-recovered"),
    ),
)
FURTHER = ("further", "Further figures", "Further")


@dataclass(frozen=True)
class Section:
    """A section of findings: heading, figures, tables, notes beneath them.

    Attributes
    ----------
    key, title, short : str
        Anchor, heading, and the heading's short form in the contents.
    figures : sequence of Embedded
    tables : sequence of Table
    notes : sequence of str
        Small print.
    """

    key: str
    title: str
    short: str
    figures: Sequence[Embedded] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


def outline(
    figures: Sequence[Embedded],
    tables: Mapping[str, Sequence[Table | None]],
    notes: Mapping[str, Sequence[str]],
) -> list[Section]:
    """Lay the figures and tables out in sections; a section with nothing to show is left out.

    Parameters
    ----------
    figures : sequence of Embedded
    tables, notes : dict of str to sequence
        Of each section.
    """
    named = {name for *_, names in _SECTIONS for name in names}
    rest = tuple(dict.fromkeys(f.drawing.figure for f in figures if f.drawing.figure not in named))
    sections = []
    for key, title, short, names in (*_SECTIONS, (*FURTHER, rest)):
        mine = [f for name in names for f in figures if f.drawing.figure == name]
        grids = [table for table in tables.get(key, ()) if table is not None and table.rows]
        if mine or grids or key == "controls":
            sections.append(Section(key, title, short, mine, grids, notes.get(key, ())))
    return sections


SCRIPTS = ("unpack.js", "plots.js", "search.js", "tables.js")
# Longer tables are packed, and built row by row when they are seen; so are those behind a summary.
INLINE_ROWS, HIDDEN_ROWS = 40, 12


def render_report(
    inputs: ReportInputs,
    *,
    tables: Mapping[str, pl.DataFrame] | None = None,
    drawings: Sequence[Drawing] | None = None,
    not_drawn: Sequence[NotDrawn] = (),
    answers: Sequence[Answer] | None = None,
) -> str:
    """Render the report as one self-contained HTML page.

    Parameters
    ----------
    inputs : ReportInputs
    tables : dict of str to DataFrame, optional
        From `report_tables`; derived from the inputs when not given.
    drawings, not_drawn : optional
        From `convergent.figures.draw_all`, when the figures were drawn already.
    answers : sequence of Answer, optional
        From `all_answers`, when they were sought already.

    Returns
    -------
    str
        HTML that opens offline.

    Raises
    ------
    TableError
        If a table lacks a column.
    """
    known = dict(report_tables(inputs) if tables is None else tables)
    if drawings is None:
        drawings, not_drawn = draw_all(known)
    if answers is None:
        answers = all_answers(known, _facts(inputs))
    figures, shared = embed(drawings, inputs.data_folder)
    environment = _environment()
    return environment.get_template("report.html").render(
        inputs=inputs,
        style=Markup(_source(environment, "report.css")),
        script=Markup("\n".join(_source(environment, name) for name in SCRIPTS)),
        plotly=packed_plotly(),
        shared=shared,
        index=model_index(known["models"]["model"].to_list(), drawings),
        not_drawn=not_drawn,
        drawn=frozenset(drawing.name for drawing in drawings),
        config=yaml.safe_dump(_plain(inputs.config), sort_keys=False, allow_unicode=True),
        methods=methods(inputs),
        names_simulated=_names_simulated(inputs),
        cards=cards(answers, known, inputs.config),
        **_findings(inputs, known),
        **_tables(inputs, known, figures),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("convergent.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        pack=pack, inline_rows=INLINE_ROWS, hidden_rows=HIDDEN_ROWS, states=STATES
    )
    return environment


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _facts(inputs: ReportInputs) -> Facts:
    coverage = inputs.covered
    return Facts(
        simulated=frozenset(facts.name for facts in inputs.datasets if facts.simulated),
        primary=inputs.primary,
        withheld="" if coverage.sufficient else f"{coverage_words(coverage)}.",
    )


def _names_simulated(inputs: ReportInputs) -> Callable[[str], bool]:
    """Tell whether words name a data set of simulated subjects and do not say so themselves."""
    names = [re.escape(facts.name) for facts in inputs.datasets if facts.simulated]
    pattern = re.compile(rf"(?<![\w-])({'|'.join(names)})(?![\w-])" if names else r"(?!)")
    return lambda words: "simulated" not in words and bool(pattern.search(words))


def _findings(inputs: ReportInputs, tables: dict[str, pl.DataFrame]) -> dict[str, Any]:
    coverage = inputs.covered
    return {
        "coverage": coverage,
        "coverage_words": coverage_words(coverage),
        "vitals": vitals(coverage, tables),
        "simulated": [facts.name for facts in inputs.datasets if facts.simulated],
        "counts": {
            "models": inputs.tables["models"].height,
            "families": inputs.tables["models"]["family"].n_unique(),
            "measurements": int(inputs.tables["study_size"]["measurements"].sum()),
            "subjects": sum(len(facts.subjects) for facts in inputs.datasets),
        },
    }


def _tables(
    inputs: ReportInputs, tables: dict[str, pl.DataFrame], figures: Sequence[Embedded]
) -> dict[str, Any]:
    checks, metrics = tables.get("recovery_checks"), tables.get("metric_correlations")
    summary, scores = tables.get("ceiling_summary"), tables.get("scores")
    ceilings = None if summary is None else ceiling_table(summary)
    claims = claim_tables(tables) if inputs.covered.sufficient else {}
    by_section = {
        **claims,
        "performance": (
            sections.correlation_table(tables["correlations"]),
            *claims.get("performance", ()),
            None if metrics is None else sections.metric_table(metrics),
            sections.left_out_table(inputs.tables["correlations"]),
        ),
        "regions": (
            sections.region_table(tables["modality_profile"]),
            *claims.get("regions", ()),
        ),
        "controls": (ceilings,),
    }
    notes = {"controls": (CEILING_NOTE,)} if ceilings is not None and ceilings.rows else {}
    return {
        "sections": outline(figures, by_section, notes),
        "unique_words": unique_words(inputs.section("fit")),
        "scores_table": None if scores is None else scores_table(scores, inputs.primary),
        "model_table": sections.model_table(tables),
        "coverage_table": sections.coverage_table(inputs.covered),
        "counted_table": sections.counted_table(inputs.covered),
        "checks_table": None if checks is None else sections.checks_table(checks),
    }


def _plain(value: Any) -> Any:
    """Mappings and sequences as dict and list, so that YAML can write them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
