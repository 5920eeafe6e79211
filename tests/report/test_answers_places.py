"""Answers of regions, scale and depth say what the tables allow, and no more."""

from __future__ import annotations

import polars as pl
import pytest

import planted
from convergent.report.answers import Facts
from convergent.report.answers_places import regions, scale, shift_verdict

FACTS = Facts(frozenset({"scenes"}), "ridge_r")


@pytest.fixture(scope="module")
def tables():
    return planted.claim_tables(planted.planted_study())


def test_a_data_set_without_positions_still_has_its_answer(tables):
    found = {answer.dataset: answer for answer in regions(tables, FACTS)}
    story = found["story, language"]
    assert story.figure == ""
    assert "fewer than 10" in " ".join(story.sentences)
    assert "scenes, vision (simulated subjects)" in found


def test_regions_are_named_only_where_they_pass_the_largest_permutation(tables):
    tests = tables["region_tests"]
    assert {answer.state for answer in regions(tables, FACTS)} == {"open"}  # no p_fwe in the study
    passed = tests.with_columns(
        p_fwe=pl.when(pl.col("place") == "L_V1").then(0.01).otherwise(1.0),
    )
    one = regions({**tables, "region_tests": passed}, FACTS)[0]
    assert (one.verdict, one.state) == ("Most in L_V1", "yes")
    untested = tests.with_columns(reason=pl.lit("no stimuli were permuted"))
    one = regions({**tables, "region_tests": untested}, FACTS)[0]
    assert one.state == "open"
    assert "no stimuli were permuted" in " ".join(one.sentences)


def test_nothing_measured_is_said_so():
    assert regions({}, FACTS)[0].verdict == "Not asked"
    assert scale({}, FACTS)[0].verdict == "Not asked"


def test_scale_and_depth_are_answered_for_each_data_set(tables):
    found = scale(tables, FACTS)
    words = " ".join(answer.dataset for answer in found)
    assert "scenes, scale (simulated subjects)" in words
    assert "story, depth of language models" in words
    assert all(answer.sentences and answer.figure for answer in found)


ROW = {"p": 0.01, "p_spin": 0.01, "slope": 0.4, "n_above": 12, "given": ""}


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "yes"),
        ({"slope": -0.4}, "no"),
        ({"p": 0.2}, "open"),
        ({"p_spin": 0.2}, "open"),
        ({"p_spin": None}, "open"),
        ({"n_above": 0}, "open"),
        ({"p": None}, "open"),
    ],
)
def test_a_shift_needs_families_places_and_alignment(changes, state):
    assert shift_verdict([ROW | changes])[1] == state


def test_a_shift_must_be_there_given_the_noise_ceiling():
    given = ROW | {"given": "noise ceiling and size"}
    assert shift_verdict([ROW, given])[1] == "yes"
    assert shift_verdict([ROW, given | {"p_spin": 0.4}])[1] == "open"
    assert shift_verdict([ROW, given | {"slope": -0.1}])[1] == "open"
