"""The page: everything put into one HTML file that needs no network."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from convergent.figures import Drawing, NotDrawn, draw_all

from . import _sections as sections
from ._ceilings import ceiling_table
from ._headline import headlines
from ._inputs import ReportInputs, coverage_words, report_tables
from ._methods import methods, unique_words
from ._scores import scores_table


def render_report(
    inputs: ReportInputs,
    *,
    tables: Mapping[str, pl.DataFrame] | None = None,
    drawings: Sequence[Drawing] | None = None,
    not_drawn: Sequence[NotDrawn] = (),
) -> str:
    """Render the report as one self-contained HTML page.

    Parameters
    ----------
    inputs : ReportInputs
    tables : dict of str to DataFrame, optional
        From `report_tables`; derived from the inputs when not given.
    drawings, not_drawn : optional
        From `convergent.figures.draw_all`, when the figures were drawn already.

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
    environment = Environment(
        loader=PackageLoader("convergent.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html")
    return page.render(
        inputs=inputs,
        style=Markup(_source(environment, "report.css")),
        script=Markup(_source(environment, "report.js")),
        plotly=Markup(get_plotlyjs()),
        figures=_figures(drawings, inputs.data_folder),
        not_drawn=not_drawn,
        config=yaml.safe_dump(_plain(inputs.config), sort_keys=False, allow_unicode=True),
        methods=methods(inputs),
        **_findings(inputs, known),
        **_tables(inputs, known),
    )


def _source(environment: Environment, name: str) -> str:
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _findings(inputs: ReportInputs, tables: dict[str, pl.DataFrame]) -> dict[str, Any]:
    coverage = inputs.covered
    simulated = [facts.name for facts in inputs.datasets if facts.simulated]
    return {
        "coverage": coverage,
        "coverage_words": coverage_words(coverage),
        "headlines": headlines(tables["correlations"], frozenset(simulated)),
        "simulated": simulated,
        "counts": {
            "models": inputs.tables["models"].height,
            "families": inputs.tables["models"]["family"].n_unique(),
            "measurements": int(inputs.tables["counts"]["measurements"].sum()),
            "subjects": sum(len(facts.subjects) for facts in inputs.datasets),
        },
    }


def _tables(inputs: ReportInputs, tables: dict[str, pl.DataFrame]) -> dict[str, Any]:
    checks = tables.get("recovery_checks")
    metrics = tables.get("metric_correlations")
    summary, scores = tables.get("ceiling_summary"), tables.get("scores")
    return {
        "correlation_table": sections.correlation_table(tables["correlations"]),
        "metric_table": None if metrics is None else sections.metric_table(metrics),
        "ceiling_table": None if summary is None else ceiling_table(summary),
        "unique_words": unique_words(inputs.section("fit")),
        "scores_table": None if scores is None else scores_table(scores, inputs.primary),
        "left_out_table": sections.left_out_table(inputs.tables["correlations"]),
        "model_table": sections.model_table(tables),
        "region_table": sections.region_table(tables["modality_profile"]),
        "coverage_table": sections.coverage_table(inputs.covered),
        "checks_table": None if checks is None else sections.checks_table(checks),
    }


def _figures(drawings: Sequence[Drawing], folder: str) -> dict[str, list[dict[str, Any]]]:
    """Figures by registered name, each ready for the template."""
    result: dict[str, list[dict[str, Any]]] = {}
    for drawing in drawings:
        # "</" would end the script element that carries the JSON.
        data = drawing.plotly_json().replace("</", "<\\/")
        static = base64.b64encode(drawing.png() if drawing.lazy else drawing.svg().encode())
        kind = "png" if drawing.lazy else "svg+xml"
        result.setdefault(drawing.figure, []).append(
            {
                "drawing": drawing,
                "json": Markup(data),
                "height": _height(drawing),
                "image": f"data:image/{kind};base64,{static.decode()}",
                "table": sections.data_table(drawing),
                "file": f"{folder}/{drawing.name}.tsv",
            }
        )
    return result


def _height(drawing: Drawing) -> int:
    """Height that the plot will take, kept free for it so that the page does not jump."""
    return int(drawing.interactive.layout.height) if drawing.interactive is not None else 0


def _plain(value: Any) -> Any:
    """Mappings and sequences as dict and list, so that YAML can write them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
