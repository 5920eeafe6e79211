"""Claims: every table of the study is made once, by one claim."""

from __future__ import annotations

import pytest

import planted
from convergent.errors import ConvergentError, TableError
from convergent.stages.claims import CLAIMS, claim, claimed
from convergent.study._study import STUDY_TABLES

GATHERED = {"measurements", "alignment", "coverage", "ceilings", "performance", "models", "truth"}


def test_the_studys_tables_are_those_gathered_and_those_claimed():
    made = [name for names in CLAIMS for name in names]
    assert len(made) == len(set(made))
    assert set(STUDY_TABLES) == GATHERED | set(made)
    assert len(STUDY_TABLES) == len(set(STUDY_TABLES))


def test_a_table_is_claimed_once():
    with pytest.raises(ConvergentError, match="made by two claims"):
        claim("trajectories")(lambda material: {})


def test_a_claim_that_makes_another_table_is_refused(monkeypatch):
    monkeypatch.setitem(CLAIMS, ("promised",), lambda material: {})
    with pytest.raises(ConvergentError, match="the claim of promised made nothing"):
        list(claimed(planted.material(planted.planted_study(per_family=1))))


def test_an_absent_primary_metric_is_named():
    material = planted.material(planted.planted_study(per_family=1))
    with pytest.raises(TableError, match="no row of metric 'unheard'"):
        _ = type(material)(**{**vars(material), "primary": "unheard"}).main
