"""The page: everything put into one HTML file that needs no network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from convergent.figures import Drawing, NotDrawn, draw_all

from . import _sections as sections
from ._answers import Answer, Facts, all_answers
from ._cards import STATES, cards, vitals
from ._ceilings import CEILING_NOTE, ceiling_table
from ._claim_tables import claim_tables
from ._embed import Embedded, embed, model_index
from ._inputs import ReportInputs, coverage_words, report_tables
from ._methods import methods, unique_words
from ._outline import outline
from ._pack import pack, packed_plotly
from ._scores import scores_table

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
