"""The report: one HTML page that says what was found, how sure it is, and what is missing."""

# answers register themselves
from convergent.report import answers_order as answers_order
from convergent.report import answers_performance as answers_performance
from convergent.report import answers_places as answers_places
from convergent.report.answers import QUESTIONS, Answer, Facts, all_answers
from convergent.report.inputs import DatasetFacts, ReportInputs, report_tables, withhold
from convergent.report.methods import methods
from convergent.report.page import render_report

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
