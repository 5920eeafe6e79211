"""Claims: every table of the study is made once, by one claim."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import planted
from convergent.errors import ConvergentError, TableError
from convergent.pipeline.claims import claimed
from convergent.registry import CLAIMS, GATHERED
from convergent.statistics import ceiling_summary, scale_profile, subject_scores
from convergent.tables.schemas import CEILING_SCHEMA


def test_each_table_is_gathered_or_made_by_one_claim():
    assert not set(GATHERED) & set(CLAIMS.names())
    made = [name for name, _ in claimed(planted.material(planted.planted_study(per_family=1)))]
    assert sorted(made) == sorted(CLAIMS.names())


def test_a_gathered_table_cannot_be_claimed(registries):
    with pytest.raises(ConvergentError, match="'coverage' is defined twice: a reserved name"):
        CLAIMS.register("coverage")(lambda material: {})


def test_a_claim_that_makes_another_table_is_refused(registries):
    CLAIMS.register("promised")(lambda material: {})
    with pytest.raises(ConvergentError, match="the claim of promised made nothing"):
        list(claimed(planted.material(planted.planted_study(per_family=1))))


def test_an_absent_primary_metric_is_named():
    material = planted.material(planted.planted_study(per_family=1))
    with pytest.raises(TableError, match="no row of metric 'unheard'"):
        _ = type(material)(**{**vars(material), "primary": "unheard"}).main


def test_metric_by_metric_gives_the_same_tables_as_all_metrics_at_once():
    material = planted.material(planted.planted_study(per_family=1))
    rows = material.alignment.collect()
    assert rows["metric"].n_unique() > 1
    lone = {"dataset": "scenes", "metric": "knn", "region": "L_V1", "lower": 0.2, "upper": 0.4}
    lone |= {"n_subjects": 3, "n_stimuli": 40}
    ceilings = pl.DataFrame([lone, {**lone, "metric": "cka", "scale": None}], schema=CEILING_SCHEMA)
    material = type(material)(**{**vars(material), "ceilings": ceilings})
    made = dict(claimed(material))
    assert_frame_equal(made["scores"], subject_scores(rows, ceilings))
    assert_frame_equal(made["ceiling_summary"], ceiling_summary(ceilings, rows))
    assert set(made["ceiling_summary"]["metric"]) == {"knn", "cka"}
    profile = scale_profile(rows, ceiling_threshold=material.threshold)
    assert profile.height
    assert_frame_equal(made["scale_profile"], profile)
