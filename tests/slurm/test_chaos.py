"""A study whose jobs and controller are killed at random ends with the undisturbed one's bytes."""

from __future__ import annotations

import chaos
import pytest

pytestmark = pytest.mark.slurm


def test_a_disturbed_study_has_the_stores_of_an_undisturbed_one(cluster, tmp_path):
    outcome = chaos.study(tmp_path, models=1, layers=3, seed=3, every=3, faults=6)
    assert outcome.done["controller killed"] == 2
    assert outcome.done.total() >= 6, outcome.done
    assert outcome.stores == 3 * 6  # features and two subjects, of six layers
    assert outcome.same
    assert outcome.wrong == []  # no store ever had its name and other bytes
    assert outcome.temporaries == []
