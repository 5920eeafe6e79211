"""Ceilings compare what all subjects saw, and say so when that is little or nothing."""

import dataclasses
import logging

import numpy as np
import polars as pl
import pytest

from convergent.alignment.similarity import similarity_ceilings
from convergent.brains import Responses, StimulusSet
from convergent.errors import ConfigError, DataError
from convergent.pipeline.ceilings import ceiling_frames, common_rows
from convergent.pipeline.samples import Samples
from convergent.store import Store
from convergent.study import FitConfig

IDS = np.array([f"image{k:02d}" for k in range(40)])
STIMULI = StimulusSet("d", "vision", "items", IDS, images=np.zeros((40, 2, 2, 3), "u1"))
REGION = np.repeat(["V1", "IT"], 6)
CONFIG = FitConfig(metrics={"ridge": None, "cka": None, "cka_rbf": {"scales": [0.5, 2.0]}})
LATENT = np.random.default_rng(9).normal(size=(40, 12))


def items(subject, ids, region=REGION):
    """What a subject answers to each id does not depend on where the id stands."""
    rows = [IDS.tolist().index(name) for name in ids]
    data = (LATENT + np.random.default_rng(subject).normal(size=(40, 12)))[rows]
    return Responses("d", f"s{subject}", "items", data, region, np.ones(12), stimulus_id=ids)


def story(subject, volumes=50, tr=2.0, start=0.0):
    data = np.random.default_rng(subject).normal(size=(volumes, 12))
    return Responses("d", f"s{subject}", "story", data, REGION, np.ones(12), tr=tr, start=start)


def table(brains, stimuli=STIMULI, config=CONFIG):
    return pl.concat(ceiling_frames("d", stimuli, brains, config))


def words():
    return StimulusSet(
        "d", "language", "story", np.array(["w0", "w1"]), texts=("a", "b"),
        onset=np.array([0.0, 1.0]), offset=np.array([0.5, 1.5]),
    )  # fmt: skip


def test_subjects_meet_in_the_stimuli_that_all_saw_whatever_their_order():
    rng = np.random.default_rng(0)
    brains = [
        items(1, rng.permutation(IDS[:35])),
        items(2, rng.permutation(IDS[5:])),
        items(3, rng.permutation(IDS)),
    ]
    rows = common_rows(STIMULI, brains, CONFIG)
    for brain, some in zip(brains, rows, strict=True):
        assert brain.stimulus_id[some].tolist() == IDS[5:35].tolist()
    plain = [items(k, IDS[5:35]) for k in (1, 2, 3)]
    found = table(brains)
    assert found.equals(table(plain))
    index = np.repeat([0, 1], 6)
    expected = similarity_ceilings(
        [brain.data for brain in plain], [index] * 3, 2, {"cka": None}
    )["cka"]  # fmt: skip
    cka = found.filter(pl.col("metric") == "cka")
    assert cka["region"].to_list() == ["V1", "IT"] and cka["scale"].is_null().all()
    np.testing.assert_array_equal(cka["lower"], expected.lower[0])
    np.testing.assert_array_equal(cka["upper"], expected.upper[0])
    assert set(found["n_subjects"]) == {3} and set(found["n_stimuli"]) == {30}
    assert found.filter(pl.col("metric") == "cka_rbf")["scale"].to_list() == [0.5, 0.5, 2.0, 2.0]


def test_the_draw_is_that_of_the_fits():
    config = CONFIG.model_copy(update={"similarity_stimuli": 20, "seed": 3})
    brains = [items(1, IDS[::-1]), items(2, IDS)]
    rows = common_rows(STIMULI, brains, config)
    layer = Store("f", {"features": np.zeros((40, 1)), "stimulus_id": IDS}, {}, {})
    fitted = Samples.join(layer, STIMULI, brains[0], config).at_most(20, config)
    for brain, some in zip(brains, rows, strict=True):
        np.testing.assert_array_equal(brain.stimulus_id[some], fitted.ids)
    assert set(table(brains, config=config)["n_stimuli"]) == {20}


def test_regions_are_met_by_name_and_one_that_a_subject_lacks_has_no_ceiling():
    swapped = np.repeat(["IT", "V4"], 6)
    other = items(2, IDS)
    turned = dataclasses.replace(other, region=swapped, data=np.roll(other.data, 6, axis=1))
    found = table([items(1, IDS), turned]).filter(pl.col("metric") == "cka")
    both = table([items(1, IDS), other]).filter(pl.col("metric") == "cka")
    assert found["region"].to_list() == ["V1", "IT", "V4"]
    assert found["lower"].is_null().to_list() == [True, False, True]
    assert found["lower"][1] == pytest.approx(both["lower"][1], abs=1e-12)


def test_a_story_is_compared_whole_and_only_at_the_same_moments():
    found = table([story(1), story(2)], words())
    assert set(found["n_stimuli"]) == {50} and found["lower"].is_not_null().all()
    for other in (story(3, volumes=49), story(3, tr=1.5), story(3, start=0.5)):
        with pytest.raises(DataError, match=r"volumes of subjects 's1' and 's3' .*\(50, 2\.0, 0"):
            table([story(1), story(2), other], words())
    thinned = CONFIG.model_copy(update={"similarity_stimuli": 20})
    with pytest.raises(ConfigError, match="belong together"):
        table([story(1), story(2)], words(), thinned)


def test_one_subject_has_rows_without_bounds():
    found = table([items(1, IDS)])
    assert found.height == 2 * 3
    assert found["lower"].is_null().all() and found["upper"].is_null().all()
    assert set(found["n_subjects"]) == {1} and set(found["n_stimuli"]) == {40}


@pytest.mark.parametrize("common", [0, 15])
def test_subjects_who_share_few_stimuli_have_rows_without_bounds(caplog, common):
    with caplog.at_level(logging.WARNING):
        found = table([items(1, IDS[:20]), items(2, IDS[20 - common :])])
    assert found.height == 2 * 3 and found["lower"].is_null().all()
    assert set(found["n_subjects"]) == {2} and set(found["n_stimuli"]) == {common}
    assert f"the {common} stimuli that all subjects saw" in caplog.text
