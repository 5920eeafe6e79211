"""Samples are joined by id and divided the same way for every layer and subject."""

import numpy as np
import pytest

from convergent.brains import Responses, StimulusSet
from convergent.errors import ConfigError
from convergent.pipeline.metrics import ridge
from convergent.pipeline.samples import Samples
from convergent.store import Store
from convergent.study import FitConfig

IDS = np.array([f"image{k:02d}" for k in range(20)])


def store(ids=IDS):
    values = np.arange(ids.size, dtype=np.float32)[:, None] * np.ones((1, 3), dtype=np.float32)
    arrays = {"features": values, "stimulus_id": ids}
    return Store("features", arrays, {}, {})


def items(ids, groups=None):
    stimuli = StimulusSet(
        "d", "vision", "items", IDS, images=np.zeros((20, 2, 2, 3), "u1"), group=groups
    )
    number = {name: k for k, name in enumerate(IDS.tolist())}
    data = np.array([[number[name]] for name in ids], dtype=np.float64)
    brain = Responses("d", "s", "items", data, np.array(["r"]), np.array([0.5]), stimulus_id=ids)
    return stimuli, brain


def join(ids=IDS, groups=None, config=None, features=None):
    stimuli, brain = items(ids, groups)
    samples = Samples.join(features or store(), stimuli, brain, config or FitConfig())
    return samples, brain


def test_features_meet_the_responses_to_the_same_stimulus():
    shuffled = np.random.default_rng(0).permutation(IDS)[:15]
    samples, brain = join(shuffled)
    np.testing.assert_array_equal(samples.features[:, 0], brain.data[samples.rows, 0])
    assert samples.count == 15 and set(samples.ids) == set(shuffled)


def test_halves_folds_and_orders_keep_groups_together_whatever_the_row_order():
    config = FitConfig(folds=4, inner_folds=3, permutations=5)
    groups = np.repeat([f"photo{k}" for k in range(10)], 2)
    samples, _ = join(groups=groups)
    halves = samples.halves(config)
    assert sorted(np.concatenate(halves)) == list(range(20))
    assert not set(samples.groups[halves[0]]) & set(samples.groups[halves[1]])
    for order in samples.orders_within(halves, config):
        assert sorted(order[halves[0]]) == sorted(halves[0])
        assert (order != np.arange(20)).any()
    for split in samples.splits(config):
        assert not set(samples.groups[split.train]) & set(samples.groups[split.test])
        for inner in samples.inner_splits(config)(split.train):
            assert not set(samples.groups[inner.train]) & set(samples.groups[inner.test])
    backwards, _ = join(IDS[::-1], groups, features=store(IDS[::-1]))
    assert [set(backwards.ids[h]) for h in backwards.halves(config)] == [
        set(samples.ids[h]) for h in halves
    ]


def test_without_permutations_there_is_no_null():
    samples, _ = join()
    config = FitConfig(permutations=0)
    assert samples.orders(config) is None
    assert samples.orders_within(samples.halves(config), config) is None


def test_a_random_part_of_the_items_is_the_same_for_every_layer_and_row_order():
    config = FitConfig(similarity_stimuli=8, seed=3)
    some = join()[0].at_most(8, config)
    other = join(IDS[::-1], features=store(IDS[::-1]))[0].at_most(8, config)
    assert some.count == 8 and set(some.ids) == set(other.ids)
    np.testing.assert_array_equal(some.features[:, 0], [int(name[5:]) for name in some.ids])
    whole = join()[0]
    assert whole.at_most(None, config) is whole and whole.at_most(20, config) is whole


def test_a_story_is_shifted_or_cut_into_blocks_and_never_thinned():
    config = FitConfig(permutations=4, block=10, delays=(1, 2), trim_volumes=3)
    rows = np.arange(90)
    story = Samples(np.zeros((90, 2)), rows, "story")
    shifts = story.orders(config)
    assert all((np.diff(order) % 90 == 1).all() for order in shifts)
    blocks = story.orders(config.model_copy(update={"shifts": False}))
    seams = [(np.diff(order) != 1).sum() for order in blocks]
    assert max(seams) <= 10 and min(seams) > 0
    first, second = story.halves(config)
    assert first.max() + 3 < second.min()
    for order in story.orders_within((first, second), config):
        assert sorted(order[first]) == sorted(first)
    with pytest.raises(ConfigError, match="belong together"):
        story.at_most(40, config)


def test_closed_forms_are_refused_where_items_come_in_groups():
    samples, brain = join(groups=np.repeat([f"photo{k}" for k in range(10)], 2))
    responses = Store(
        "responses",
        {
            "region": np.array(["r"]),
            "target_region": np.array(["r"]),
            "noise_ceiling": np.array([0.5]),
        },
        {},
        {},
    )
    with pytest.raises(ConfigError, match="across a group"):
        ridge(samples, [brain.data], [responses], FitConfig(), ceiling_threshold=0.05)
