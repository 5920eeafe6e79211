import pytest

import planted
from convergent.report import render_report
from convergent.report.answers import Answer
from planted_fixtures import planted_study, study

__all__ = ["planted_study", "study"]

ANSWERS = (
    Answer(
        "performance", "scenes", "Better models align better", "r = 0.91 [0.74, 0.97]",
        ("12 vision models of 4 families.", "Permutation p = 0.001 (two-sided)."),
        "performance-alignment-scenes-top1", "yes",
    ),
    Answer("performance", "story", "No relation that can be told from none",
           "r = 0.31 [−0.30, 0.74]", ("12 language models.",), "", "open"),
    Answer("performance", "third", "A third verdict", "", (), "no-such-figure", "open"),
    Answer("regions", "scenes, vision", "No gradient", "rho = 0.02", ("11 regions.",),
           "region-x", "no"),
)  # fmt: skip


@pytest.fixture(scope="session")
def answers():
    return ANSWERS


@pytest.fixture(scope="session")
def inputs(study):
    return planted.report_inputs(study)


@pytest.fixture(scope="session")
def page(inputs, answers):
    return render_report(inputs, answers=answers)
