"""The questions of a study, and its answers in words and numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from convergent.errors import ConvergentError

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
