"""Folds are disjoint, keep groups and gaps, and do not depend on the order of stimuli."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.alignment import (
    Split,
    check_splits,
    inner_item_splits,
    inner_story_splits,
    item_splits,
    story_splits,
)
from convergent.errors import ConfigError, IdError

FEW = settings(max_examples=30, deadline=None)


@FEW
@given(st.integers(4, 60), st.integers(2, 4), st.integers(0, 1000))
def test_items_are_tested_once_in_folds_of_equal_size(n, folds, seed):
    splits = item_splits(n, folds=folds, seed=seed)
    check_splits(splits, n)
    assert sorted(np.concatenate([s.test for s in splits])) == list(range(n))
    sizes = [s.test.size for s in splits]
    assert max(sizes) - min(sizes) <= 1
    assert all(s.train.size + s.test.size == n for s in splits)


@FEW
@given(st.integers(0, 1000))
def test_a_stimulus_keeps_its_fold_whatever_the_order(seed):
    rng = np.random.default_rng(seed)
    ids = np.array([f"s{k}" for k in rng.permutation(40)])
    groups = np.array([f"g{int(i[1:]) // 3}" for i in ids])
    order = rng.permutation(40)
    for labels in (None, groups):
        one = item_splits(ids, labels, folds=4, seed=seed)
        shuffled = None if labels is None else labels[order]
        other = item_splits(ids[order], shuffled, folds=4, seed=seed)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(ids[a.test], ids[order][b.test])
            np.testing.assert_array_equal(ids[a.train], ids[order][b.train])


@FEW
@given(st.lists(st.integers(0, 9), min_size=30, max_size=60), st.integers(0, 100))
def test_a_group_stays_on_one_side_also_inside_the_training_set(labels, seed):
    groups = np.array(labels + list(range(10)))
    for split in item_splits(groups.size, groups, folds=3, seed=seed):
        assert not set(groups[split.train]) & set(groups[split.test])
        inner = inner_item_splits(split.train, groups.size, groups, folds=2, seed=seed)
        check_splits(inner, groups.size, within=split.train)
        for part in inner:
            assert not set(groups[part.train]) & set(groups[part.test])


def test_seed_changes_the_folds():
    one, other = (item_splits(50, folds=5, seed=s)[0].test for s in (0, 1))
    assert set(one) != set(other)


@FEW
@given(st.integers(40, 200), st.integers(2, 6), st.integers(0, 5))
def test_story_blocks_are_contiguous_with_a_gap_on_each_side(n, folds, trim):
    splits = story_splits(n, folds=folds, trim=trim)
    np.testing.assert_array_equal(np.concatenate([s.test for s in splits]), np.arange(n))
    for split in splits:
        assert (np.diff(split.test) == 1).all()
        far = np.abs(split.train[:, None] - split.test).min(axis=1)
        assert far.min() == trim + 1
        near = np.setdiff1d(np.arange(n), np.concatenate([split.train, split.test]))
        assert near.size == trim * (int(split.test[0] > 0) + int(split.test[-1] < n - 1))


@FEW
@given(st.integers(60, 200), st.integers(0, 4))
def test_inner_story_folds_trim_in_story_time_within_the_training_set(n, trim):
    for split in story_splits(n, folds=3, trim=trim):
        inner = inner_story_splits(split.train, folds=4, trim=trim)
        check_splits(inner, n, within=split.train)
        for part in inner:
            far = np.abs(part.train[:, None] - part.test).min(axis=1)
            assert far.min() > trim
            dropped = np.setdiff1d(split.train, np.concatenate([part.train, part.test]))
            assert (np.abs(dropped[:, None] - part.test).min(axis=1) <= trim).all()


def test_impossible_folds_are_refused():
    for folds in (1, 11):
        with pytest.raises(ConfigError, match="folds for 10"):
            item_splits(10, folds=folds, seed=0)
    with pytest.raises(ConfigError, match="3 folds for 2 groups"):
        item_splits(10, [0, 1] * 5, folds=3, seed=0)
    with pytest.raises(ConfigError, match="to train"):
        story_splits(10, folds=2, trim=5)
    with pytest.raises(ConfigError, match="trim"):
        story_splits(10, folds=2, trim=-1)
    with pytest.raises(IdError, match="more than once"):
        item_splits(["a", "b", "a"], folds=2, seed=0)
    with pytest.raises(IdError, match="groups"):
        item_splits(3, [0, 1], folds=2, seed=0)


@pytest.mark.parametrize(
    ("train", "test", "message"),
    [([0, 1, 2], [2, 3], "twice"), ([0, 1], [9], "outside"), ([0], [1], "1 training")],
)
def test_leaking_or_empty_folds_are_refused(train, test, message):
    with pytest.raises(ConfigError, match=message):
        check_splits([Split(np.array(train), np.array(test))], 5)
