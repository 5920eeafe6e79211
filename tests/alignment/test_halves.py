"""Halves are disjoint, keep groups together, and belong to stimuli and not to rows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.alignment.splits import halves_of_items, halves_of_story
from convergent.errors import ConfigError, IdError

FEW = settings(max_examples=50, deadline=None)
SEEDS = st.integers(0, 10**6)


@FEW
@given(SEEDS, st.integers(2, 40))
def test_halves_of_items_cover_the_rows_once_in_equal_parts(seed, n):
    first, second = halves_of_items(n, seed=seed)
    assert sorted([*first, *second]) == list(range(n))
    assert abs(first.size - second.size) <= 1


@FEW
@given(SEEDS, st.lists(st.integers(0, 6), min_size=7, max_size=40))
def test_a_group_is_never_in_both_halves(seed, labels):
    labels = np.concatenate([labels, [0, 7]])
    first, second = halves_of_items(labels.size, labels, seed=seed)
    assert not set(labels[first]) & set(labels[second])
    assert sorted([*first, *second]) == list(range(labels.size))
    largest = np.unique(labels, return_counts=True)[1].max()
    assert abs(first.size - second.size) <= largest


@FEW
@given(SEEDS)
def test_which_stimuli_are_in_a_half_does_not_depend_on_the_rows(seed):
    ids = np.array([f"image{k:03d}" for k in range(31)])
    groups = np.arange(31) // 3
    order = np.random.default_rng(seed).permutation(31)
    plain = halves_of_items(ids, groups, seed=seed)
    moved = halves_of_items(ids[order], groups[order], seed=seed)
    for one, other in zip(plain, moved, strict=True):
        np.testing.assert_array_equal(ids[one], ids[order][other])


def test_other_seeds_give_other_halves():
    first = {tuple(halves_of_items(20, seed=seed)[0]) for seed in range(20)}
    assert len(first) == 20


def test_ids_and_groups_that_do_not_divide_are_refused():
    with pytest.raises(IdError, match="more than once"):
        halves_of_items(["a", "a", "b"], seed=0)
    with pytest.raises(ConfigError, match="2 folds for 1 groups"):
        halves_of_items(4, [1, 1, 1, 1], seed=0)


@FEW
@given(st.integers(4, 200), st.integers(0, 50))
def test_halves_of_a_story_lie_on_both_sides_of_the_gap(n, trim):
    if (n - trim) // 2 < 2:
        with pytest.raises(ConfigError, match="fewer than 2 volumes"):
            halves_of_story(n, trim)
        return
    first, second = halves_of_story(n, trim)
    np.testing.assert_array_equal(first, np.arange(first.size))
    np.testing.assert_array_equal(second, np.arange(n - second.size, n))
    assert second[0] - first[-1] == trim + 1
    assert 0 <= second.size - first.size <= 1


def test_a_negative_trim_is_refused():
    with pytest.raises(ConfigError, match="trim is -1"):
        halves_of_story(20, -1)
