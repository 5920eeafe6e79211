"""The answer says no more than the interval that knows of families."""

from __future__ import annotations

import polars as pl
import pytest

import planted
from convergent.report.answers import Facts
from convergent.report.answers_performance import performance
from convergent.statistics import CORRELATION_SCHEMA, MIXED_SCHEMA

FACTS = Facts(frozenset({"scenes"}), "ridge_r")
ROW = {
    "dataset": "scenes", "modality": "vision", "benchmark": "top1", "choice": "best",
    "measure": "score", "scope": "all", "scope_value": "all", "n_models": 43, "n_families": 11,
    "n_subjects": 4, "r": 0.5, "p": 0.2, "low": -0.2, "high": 0.8, "n_effective": 9.4, "rho": 0.4,
    "r_low": 0.24, "r_high": 0.7, "p_exchangeable": 0.0005,
}  # fmt: skip


def answer(mixed=(), **changes):
    rows = pl.DataFrame([ROW | changes], schema=CORRELATION_SCHEMA)
    tables = {"correlations": rows, "mixed": pl.DataFrame(list(mixed), schema=MIXED_SCHEMA)}
    (found,) = performance(tables, FACTS)
    return found


@pytest.mark.parametrize(
    ("changes", "state", "verdict"),
    [
        ({"low": 0.1, "p": 0.01}, "yes", "align better"),
        ({"r": -0.5, "low": -0.8, "high": -0.1, "p": 0.01}, "no", "align worse"),
        # models taken as independent would have settled it
        ({}, "open", "No relation that can be told from none"),
        ({"p": None, "low": None, "high": None, "p_reason": "3 families"}, "open", "Too few"),
        ({"r": None, "reason": "2 model(s)"}, "open", "No correlation"),
    ],
)
def test_the_verdict_is_the_intervals(changes, state, verdict):
    found = answer(**changes)
    assert found.state == state and verdict in found.verdict


def test_numbers_come_with_their_interval_test_and_n():
    found = answer()
    assert found.value == "r = 0.50, 95% interval [−0.20, 0.80]"
    text = " ".join(found.sentences)
    assert "43 vision models of 11 families, 4 subjects" in text
    assert "p = 0.20 (two-sided" in text and "count as 9 independent ones" in text
    assert "Were all models independent" in text and "p = 0.0005" in text
    assert found.dataset == "scenes (simulated subjects)"
    assert found.figure == "performance-alignment-scenes-top1"


def test_the_mixed_model_is_told_in_standard_deviations():
    effect = {
        **{name: ROW[name] for name in ("dataset", "modality", "benchmark", "choice")},
        "model": "alignment ~ performance + (1 | family)", "term": "performance", "n_models": 43,
        "estimate": 0.02, "low": 0.01, "high": 0.03, "standardised": 0.4, "p": 0.004,
    }  # fmt: skip
    text = " ".join(answer(mixed=[effect]).sentences)
    assert "0.40 standard deviations" in text and "[0.20, 0.60], p = 0.004" in text


def test_a_whole_study_is_answered_once_a_data_set():
    tables = planted.claim_tables(planted.planted_study())
    found = performance(tables, FACTS)
    assert [one.state for one in found] == ["yes", "yes"]
    text = " ".join(found[0].sentences)
    for part in (
        "Within families r", "with one family left out r runs from", "Without the 4 models trained",
        "at a fixed relative depth", "Subject by subject",
    ):  # fmt: skip
        assert part in text
