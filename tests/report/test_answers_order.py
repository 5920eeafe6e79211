"""What the report says of the order in training is what the table of lags allows."""

from __future__ import annotations

import polars as pl
import pytest

from convergent.report.answers import Facts
from convergent.report.answers_order import order
from convergent.statistics import LEAD_SCHEMA

FACTS = Facts(simulated=frozenset({"story"}), primary="ridge_r")
ROW = {
    "dataset": "story", "modality": "language", "choice": "best", "benchmark": "bits_per_byte",
    "kind": "continuous", "model": "all", "share": 0.5, "n_models": 3, "n_runs": 4, "n_unclear": 0,
    "n_subjects": 3, "n_checkpoints": 20, "resamples": 50, "lag": 0.6, "low": 0.2, "high": 0.9,
    "null_mean": 0.0, "null_low": -0.3, "null_high": 0.3, "p": 0.004, "resolved": 1.0,
    "verdict": "alignment first", "reason": "",
}  # fmt: skip
OPEN = {"lag": 0.1, "low": -0.2, "high": 0.4, "p": 0.4, "verdict": "open"}
NONE = dict.fromkeys(("lag", "low", "high", "p", "resolved"), None) | {
    "verdict": "undefined", "reason": "performance: fewer than 5 checkpoints",
}  # fmt: skip
ACCURACY = {"benchmark": "acc", "kind": "thresholded", "verdict": "open", "reason": "it trails"}


def answer(*changes):
    rows = pl.DataFrame([ROW | change for change in changes], schema=LEAD_SCHEMA)
    (only,) = order({"leads": rows}, FACTS)
    return only


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ([{}], "yes", "Alignment comes first"),
        ([{"verdict": "performance first", "lag": -0.6}], "no", "Performance comes first"),
        ([OPEN], "open", "No order that can be told"),
        ([{}, OPEN | {"benchmark": "loss"}], "open", "No order that can be told"),
        ([{}, {"benchmark": "loss", "verdict": "performance first"}], "open", "It depends"),
        ([{"verdict": "resolution"}], "open", "Closer together than the checkpoints"),
        ([{}, NONE | {"benchmark": "loss"}], "yes", "Alignment comes first"),
        ([NONE], "open", "Cannot be told"),
        ([ACCURACY], "open", "Cannot be told"),
    ],
)
def test_an_order_is_said_where_every_continuous_measure_says_it(changes, state, words):
    found = answer(*changes)
    assert found.state == state and found.verdict.startswith(words)
    assert found.dataset == "story (simulated subjects)"


def test_the_answer_names_n_test_interval_and_the_other_measures():
    found = answer({}, {"share": 0.1, "lag": 0.4}, ACCURACY | {"lag": 0.9})
    text = " ".join(found.sentences)
    assert found.value == "lag 0.60 decades, 95% interval [0.20, 0.90]"
    assert "3 model(s), 4 training run(s), at least 20 checkpoints, 3 subjects, 50" in text
    assert "p = 0.004 (two-sided)" in text and "[−0.30, 0.30]" in text
    assert "10%: 0.40" in text and "Shown but not counted: acc 0.90" in text
    assert found.figure == "leads-story-bits_per_byte"


def test_accuracy_alone_says_what_would_answer():
    assert "bits per byte" in " ".join(answer(ACCURACY).sentences)


def test_a_study_without_trajectories_says_so():
    (only,) = order({"leads": pl.DataFrame(schema=LEAD_SCHEMA)}, FACTS)
    assert only.state == "open" and "several checkpoints" in only.sentences[0]
    assert order({}, FACTS) == [only]
