"""The questions of a study, and its answers in words and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from convergent.errors import ConvergentError
from convergent.figures import number
from convergent.statistics import Coverage

Question = Literal["performance", "order", "regions", "scale"]
State = Literal["yes", "no", "open", "withheld"]
QUESTIONS: dict[Question, str] = {
    "performance": "Do models that perform better align better?",
    "order": "Which comes first in training, alignment or performance?",
    "regions": "Where in the brain do models align?",
    "scale": "Does representational scale, or depth, shift where?",
}


@dataclass(frozen=True)
class Answer:
    """One answer to one question.

    Attributes
    ----------
    question : str
        A key of `QUESTIONS`.
    dataset : str
        Data set (or pair of them), and what else tells this answer from others of its question.
    verdict : str
        The answer in words that say no more than the interval allows.
    value : str
        The number with its interval; empty where there is none.
    sentences : tuple of str
        What qualifies it: n, test, other ways to ask.
    figure : str
        Name of the drawing that shows it (`Drawing.name`); empty where there is none.
    state : {"yes", "no", "open", "withheld"}
        Yes or no only where the interval or test settles it.
    """

    question: Question
    dataset: str
    verdict: str
    value: str
    sentences: tuple[str, ...]
    figure: str
    state: State


@dataclass(frozen=True)
class Facts:
    """What answers need besides the tables.

    Attributes
    ----------
    simulated : frozenset of str
        Data sets whose subjects are simulated.
    primary : str
        The metric that stands for alignment.
    withheld : str
        Why nothing may be claimed; empty where it may.
    """

    simulated: frozenset[str]
    primary: str
    withheld: str = ""


Answering = Callable[[Mapping[str, pl.DataFrame], Facts], list[Answer]]
_ANSWERING: dict[Question, Answering] = {}


def answers(question: Question) -> Callable[[Answering], Answering]:
    """Register the function that answers a question from the study's tables.

    A table may be absent where nothing may be claimed, and empty where nothing was found.

    Raises
    ------
    ConvergentError
        If the question has one already.
    """

    def decorate(function: Answering) -> Answering:
        if question in _ANSWERING:
            raise ConvergentError(
                f"question '{question}' is answered twice", fix="register one function for it"
            )
        _ANSWERING[question] = function
        return function

    return decorate


def all_answers(tables: Mapping[str, pl.DataFrame], facts: Facts) -> list[Answer]:
    """Answer every question, in the order of `QUESTIONS`.

    Parameters
    ----------
    tables : dict of str to DataFrame
        From `report_tables`.
    facts : Facts

    Returns
    -------
    list of Answer
        One at least a question: withheld, with the reason, below the coverage that is needed.
    """
    found: list[Answer] = []
    for question in QUESTIONS:
        if facts.withheld:
            found.append(Answer(question, "", "Withheld", "", (facts.withheld,), "", "withheld"))
        elif question in _ANSWERING:
            found += _ANSWERING[question](tables, facts)
    return found


SHOWN = 2
STATES = {"yes": "Answered", "no": "Answered", "open": "Not settled", "withheld": "Withheld"}


@dataclass(frozen=True)
class Card:
    """One question.

    Attributes
    ----------
    key, question : str
    shown, more : sequence of Answer
        Those to be read at once, and those behind a summary.
    reason : str
        Why there is no answer; empty where there is one.
    """

    key: str
    question: str
    shown: Sequence[Answer]
    more: Sequence[Answer]
    reason: str


@dataclass(frozen=True)
class Vital:
    """One thing that the answers rest on: a name, a number, a sentence, whether to worry."""

    name: str
    value: str
    words: str
    warn: bool = False


def cards(
    answers: Sequence[Answer],
    tables: Mapping[str, pl.DataFrame],
    config: Mapping[str, Any],
) -> list[Card]:
    """Set the answers out, a card a question, the settled ones first.

    Parameters
    ----------
    answers : sequence of Answer
        From `all_answers`.
    tables : dict of str to DataFrame
    config : dict
        The study's configuration, for the reason where a question has no answer.
    """
    result = []
    for key, question in QUESTIONS.items():
        mine = [answer for answer in answers if answer.question == key]
        reason = "" if mine else _reason(key, tables, config)
        result.append(Card(key, question, mine[:SHOWN], mine[SHOWN:], reason))
    return result


def _reason(key: str, tables: Mapping[str, pl.DataFrame], config: Mapping[str, Any]) -> str:
    """Why a question has no answer."""
    if key == "performance" and not _rows(tables, "performance"):
        return "No model of this study has a measured performance."
    if key == "order" and not _rows(tables, "trajectories"):
        return "No model of this study has checkpoints with alignment and performance."
    if key == "scale":
        metrics = config.get("fit", {}).get("metrics") or {}
        if not any(name.startswith("cka_rbf") for name in metrics):
            return "No metric of this study has a scale (a bandwidth), and depth was not compared."
    return "The tables of this study hold nothing that answers it."


def _rows(tables: Mapping[str, pl.DataFrame], name: str) -> int:
    return tables[name].height if name in tables else 0


def vitals(coverage: Coverage, tables: Mapping[str, pl.DataFrame]) -> list[Vital]:
    """Coverage, controls and planted truth in a few words.

    Parameters
    ----------
    coverage : Coverage
    tables : dict of str to DataFrame
        Reads model_alignment and, where the truth was planted, recovery_checks.
    """
    found = [
        Vital(
            "Coverage",
            f"{100 * coverage.share:.1f} %",
            f"{coverage.ok:,} of {coverage.expected:,} planned fits have a result; answers need "
            f"{100 * coverage.minimum:g} %.",
            warn=not coverage.sufficient,
        )
    ]
    aligned = tables["model_alignment"].filter(
        (pl.col("scope") == "all") & (pl.col("choice") == "best")
    )
    for (dataset,), rows in aligned.group_by(["dataset"], maintain_order=True):
        vital = _controls(str(dataset), rows.drop_nulls("alignment"))
        if vital is not None:
            found.append(vital)
    if "recovery_checks" in tables and tables["recovery_checks"]["passed"].count():
        passed = tables["recovery_checks"]["passed"].drop_nulls()
        good = int(passed.sum())
        words = "checks of what was planted in the simulated subjects find it again."
        value = f"{good} of {len(passed)}"
        found.append(Vital("Planted and recovered", value, words, warn=good < len(passed)))
    return found


def _controls(dataset: str, rows: pl.DataFrame) -> Vital | None:
    """Trained models beside the best control and the random twins of one data set."""
    trained = rows.filter((pl.col("role") == "trained") & pl.col("final"))["alignment"]
    if trained.is_empty():
        return None
    middle = float(trained.median())  # type: ignore[arg-type]
    best = rows.filter(pl.col("role") == "control").sort("alignment", descending=True).head(1)
    twins = rows.filter(pl.col("role") == "random")["alignment"]
    parts = []
    if best.height:
        parts.append(f"best control {number(best['alignment'][0])} ({best['model'][0]})")
    if len(twins):
        parts.append(f"random weights {number(float(twins.median()))}")  # type: ignore[arg-type]
    warn = bool(best.height) and best["alignment"][0] >= middle
    words = f"median of {len(trained)} trained models; " + (
        ", ".join(parts) if parts else "no controls and no random weights to compare with"
    )
    note = " A control aligns as well as the median model." if warn else ""
    return Vital(f"Controls, {dataset}", f"r = {number(middle)}", f"{words}.{note}", warn)
