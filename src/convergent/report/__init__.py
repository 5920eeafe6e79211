"""The report: one HTML page that says what was found, how sure it is, and what is missing."""

from . import _answers_order as _answers_order  # registers its answers
from . import _answers_performance as _answers_performance  # registers its answers
from ._answers import QUESTIONS, Answer, Facts, all_answers
from ._inputs import DatasetFacts, ReportInputs, report_tables, withhold
from ._methods import methods
from ._page import render_report

__all__ = [
    "QUESTIONS",
    "Answer",
    "DatasetFacts",
    "Facts",
    "ReportInputs",
    "all_answers",
    "methods",
    "render_report",
    "report_tables",
    "withhold",
]
