"""Published scores of Pythia in training, as recorded in config/models, through the onsets."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from convergent.statistics import Curve, rises, step_positions

TABLES = Path(__file__).parents[2] / "config" / "models"


@pytest.fixture(scope="module")
def scores():
    read = {"separator": "\t", "comment_prefix": "#", "infer_schema_length": None}
    steps = pl.read_csv(TABLES / "pythia_checkpoints.tsv", **read)
    table = pl.read_csv(TABLES / "pythia_performance.tsv", **read)
    found = table.join(
        steps.select("model", "checkpoint", pl.col("step").cast(pl.Int64)),
        on=["model", "checkpoint"],
    )
    assert len(found) == len(table)
    return found.sort("step")


def curve(scores, model, task):
    part = scores.filter((pl.col("model") == model) & (pl.col("benchmark") == task))
    places = step_positions(part["step"].to_list())
    sign = 1.0 if rises(task) else -1.0
    return part, Curve.of(list(places.values()), sign * part["score"].to_numpy())


def test_the_recorded_curves_are_those_that_were_published(scores):
    part, _ = curve(scores, "pythia-410m", "lambada_openai")
    at = dict(part.select("step", "score").iter_rows())
    assert (at[0], round(at[1000], 3), round(at[143000], 3)) == (0.0, 0.038, 0.516)
    part, _ = curve(scores, "pythia-12b", "piqa")
    assert [round(part["score"][k], 3) for k in (0, -1)] == [0.517, 0.76]


def test_the_same_answers_rise_later_as_accuracy_and_earlier_as_perplexity(scores):
    """Why only continuous measures carry a claim: one ability, three onsets."""
    half = {
        task: 10 ** curve(scores, "pythia-410m", task)[1].onset(0.5).position
        for task in ("lambada_openai_ppl", "lambada_openai_log_likelihood", "lambada_openai")
    }
    assert half == pytest.approx(
        {
            "lambada_openai_ppl": 127,
            "lambada_openai_log_likelihood": 954,
            "lambada_openai": 2952,
        },
        rel=0.01,
    )


@pytest.mark.parametrize("size", ["70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b"])
def test_every_size_has_the_lag_of_accuracy_behind_its_own_likelihood(scores, size):
    for share in (0.1, 0.5, 0.9):
        early, late = (
            curve(scores, f"pythia-{size}", task)[1].onset(share)
            for task in ("lambada_openai_log_likelihood", "lambada_openai")
        )
        assert not early.reason and not late.reason
        assert late.position - early.position > 0.25


def test_tasks_at_chance_have_no_onset(scores):
    for size in ("70m", "160m", "1b", "12b"):
        assert "does not rise" in curve(scores, f"pythia-{size}", "logiqa")[1].onset(0.5).reason
