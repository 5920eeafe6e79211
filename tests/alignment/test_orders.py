"""Null orders are permutations, belong to stimuli and not to rows, and give valid p values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from convergent.alignment.orders import block_orders, check_orders, item_orders, story_orders
from convergent.alignment.splits import halves_of_items, halves_of_story
from convergent.errors import ConfigError

FEW = settings(max_examples=40, deadline=None)
SEEDS = st.integers(0, 10**6)


def names(n):
    return np.array([f"s{k:03d}" for k in range(n)])


def different_permutations(orders, n):
    rows = {tuple(order) for order in orders}
    return (
        (np.sort(orders, axis=1) == np.arange(n)).all()
        and len(rows) == len(orders)
        and tuple(range(n)) not in rows
    )


# ---------------------------------------------------------------- independent stimuli


def test_item_orders_permute_the_same_stimuli_whatever_their_order():
    rng = np.random.default_rng(0)
    ids = np.array([f"s{k:02d}" for k in range(20)])
    shuffle = rng.permutation(20)
    plain = item_orders(ids, permutations=5, seed=3)
    other = item_orders(ids[shuffle], permutations=5, seed=3)
    for one, two in zip(plain, other, strict=True):
        assert sorted(one) == list(range(20))
        assert dict(zip(ids, ids[one], strict=True)) == dict(
            zip(ids[shuffle], ids[shuffle][two], strict=True)
        )


def test_item_orders_without_sets_are_the_draws_of_the_generator():
    rng = np.random.default_rng(5)
    expected = np.stack([rng.permutation(30) for _ in range(7)])
    np.testing.assert_array_equal(item_orders(30, permutations=7, seed=5), expected)


@FEW
@given(SEEDS, st.integers(8, 40), st.integers(1, 30))
def test_item_orders_are_different_and_map_each_half_to_itself(seed, n, permutations):
    ids = names(n)
    halves = halves_of_items(ids, seed=seed)
    orders = item_orders(ids, permutations=permutations, seed=seed, within=halves)
    assert different_permutations(orders, n)
    for half in halves:
        assert (np.sort(orders[:, half], axis=1) == np.sort(half)).all()
    np.testing.assert_array_equal(
        orders, item_orders(ids, permutations=permutations, seed=seed, within=halves)
    )


@FEW
@given(SEEDS)
def test_orders_within_halves_belong_to_stimuli_whatever_the_rows_and_the_order_of_sets(seed):
    ids = names(16)
    shuffle = np.random.default_rng(seed).permutation(16)
    moved = ids[shuffle]
    plain = item_orders(ids, permutations=4, seed=seed, within=halves_of_items(ids, seed=1))
    swapped = tuple(part[::-1] for part in halves_of_items(moved, seed=1)[::-1])
    other = item_orders(moved, permutations=4, seed=seed, within=swapped)
    for one, two in zip(plain, other, strict=True):
        assert dict(zip(ids, ids[one], strict=True)) == dict(zip(moved, moved[two], strict=True))


def test_stimuli_in_no_set_stay():
    orders = item_orders(12, permutations=20, seed=0, within=[[0, 1, 2, 3], [6, 7, 8, 9]])
    assert (orders[:, [4, 5, 10, 11]] == [4, 5, 10, 11]).all()
    assert different_permutations(orders, 12)


def test_all_orders_of_few_stimuli_can_be_had_but_no_more():
    orders = item_orders(4, permutations=23, seed=0)
    assert different_permutations(orders, 4)
    with pytest.raises(ConfigError, match="24 permutations, but only 23 other orders"):
        item_orders(4, permutations=24, seed=0)
    with pytest.raises(ConfigError, match="only 3 other orders"):
        item_orders(4, permutations=4, seed=0, within=[[0, 1], [2, 3]])


# ---------------------------------------------------------------- circular shifts


def test_story_orders_are_different_circular_shifts_of_a_minimal_size():
    orders = story_orders(30, permutations=21, minimum=5, seed=0)
    shifts = orders[:, 0]
    assert len(set(shifts)) == 21 and shifts.min() == 5 and shifts.max() == 25
    assert ((np.diff(orders, axis=1) % 30) == 1).all()


def test_more_permutations_than_shifts_are_refused():
    with pytest.raises(ConfigError, match="only 21 circular shifts"):
        story_orders(30, permutations=22, minimum=5, seed=0)


# ---------------------------------------------------------------- blocks of a story


@FEW
@given(SEEDS, st.integers(1, 9), st.integers(4, 12), st.integers(0, 8), st.integers(1, 15))
def test_blocks_are_moved_whole(seed, block, blocks, more, permutations):
    n = block * blocks + min(more, block - 1)
    orders = block_orders(n, block=block, permutations=permutations, seed=seed)
    assert different_permutations(orders, n)
    again = block_orders(n, block=block, permutations=permutations, seed=seed)
    np.testing.assert_array_equal(orders, again)
    for order in orders:
        starts = np.flatnonzero(np.diff(order) != 1) + 1
        runs = np.split(order, starts)
        # All but the first and the last block of the story are whole.
        shorter = [run for run in runs if run.size < block]
        assert all(run[0] == 0 or run[-1] == n - 1 for run in shorter)
        assert len(runs) <= 1 + -(-(n - 1) // block)


def test_seams_fall_everywhere():
    orders = block_orders(60, block=6, permutations=300, seed=0)
    torn = (np.diff(orders, axis=1) != 1).any(axis=0)
    assert torn.all()
    pair_broken = np.zeros(59)
    for order in orders:
        place = np.argsort(order)
        pair_broken += np.diff(place) != 1
    # Each pair of neighbours lies on a border of blocks once in 6 phases.
    assert stats.binom.ppf(1e-5, 300, 0.8 / 6) <= pair_broken.min()
    assert pair_broken.max() <= stats.binom.ppf(1 - 1e-5, 300, 1 / 6)


@FEW
@given(SEEDS, st.integers(0, 7), st.integers(1, 5))
def test_blocks_stay_in_their_half_and_the_trimmed_volumes_stay(seed, trim, block):
    n = 53
    halves = halves_of_story(n, trim)
    orders = block_orders(n, block=block, permutations=9, seed=seed, within=halves)
    assert different_permutations(orders, n)
    for half in halves:
        assert (np.sort(orders[:, half], axis=1) == half).all()
        assert (orders[:, half] != half).any()
    rest = np.setdiff1d(np.arange(n), np.concatenate(halves))
    assert rest.size == trim and (orders[:, rest] == rest).all()
    swapped = block_orders(n, block=block, permutations=9, seed=seed, within=halves[::-1])
    np.testing.assert_array_equal(orders, swapped)


@pytest.mark.parametrize("block", [-1, 0, 11, 20])
def test_blocks_that_cannot_be_exchanged_are_refused(block):
    with pytest.raises(ConfigError, match="Fix: use 1 to 10 volumes"):
        block_orders(20, block=block, permutations=1, seed=0)


def test_blocks_longer_than_half_of_a_half_are_refused():
    with pytest.raises(ConfigError, match="blocks of 6 volumes in a series of 10"):
        block_orders(20, block=6, permutations=1, seed=0, within=halves_of_story(20, 0))


def test_more_permutations_than_orders_of_whole_blocks_are_refused():
    block_orders(40, block=10, permutations=23, seed=0)
    with pytest.raises(ConfigError, match="only 23 other orders of the blocks of 10 volumes"):
        block_orders(40, block=10, permutations=24, seed=0)


@pytest.mark.parametrize(
    ("within", "problem"),
    [
        ([], "no row set"),
        ([[0, 1], []], "an empty one"),
        ([[0.0, 1.0]], "not row numbers"),
        ([[True, False, True]], "not row numbers"),
        ([[0, 1, 2], [2, 3]], "in two sets"),
        ([[0, 0, 1]], "twice in one"),
        ([[0, 1, 12]], "outside the 12 samples"),
        ([[-1, 0, 1]], "outside the 12 samples"),
    ],
)
def test_sets_that_do_not_divide_the_rows_are_refused(within, problem):
    for make in (
        lambda: item_orders(12, permutations=1, seed=0, within=within),
        lambda: block_orders(12, block=1, permutations=1, seed=0, within=within),
    ):
        with pytest.raises(ConfigError, match=problem):
            make()


def test_sets_of_volumes_with_gaps_are_refused():
    with pytest.raises(ConfigError, match="4 rows from 0 to 4 has gaps"):
        block_orders(12, block=1, permutations=1, seed=0, within=[[0, 1, 3, 4]])


def test_check_orders_takes_all_kinds_of_orders_and_nothing_else():
    for orders in (
        item_orders(20, permutations=3, seed=0),
        story_orders(20, permutations=3, minimum=2, seed=0),
        block_orders(20, block=4, permutations=3, seed=0),
    ):
        np.testing.assert_array_equal(check_orders(orders, 20), orders)
    with pytest.raises(ConfigError, match="block_orders"):
        check_orders(np.zeros((3, 20)), 20)


# ---------------------------------------------------------------- p values


def autoregressive(rng, n, coefficient, burn=100):
    series = rng.normal(size=n + burn)
    for volume in range(1, n + burn):
        series[volume] += coefficient * series[volume - 1]
    return series[burn:]


def p_value(x, y, orders):
    x = x - x.mean()
    null = np.abs(y[orders] @ x)
    return (1 + (null >= np.abs(y @ x)).sum()) / (1 + len(orders))


def test_blocks_give_valid_p_values_for_autocorrelated_series_and_free_permutation_does_not():
    # Autocorrelation falls to 1/e in 3 volumes; a block is ten times that.
    n, block, coefficient, studies = 300, 30, 0.7, 400
    rng = np.random.default_rng(0)
    rejected = {"blocks": 0, "free": 0, "blocks in halves": 0}
    for seed in range(studies):
        x, y = autoregressive(rng, n, coefficient), autoregressive(rng, n, coefficient)
        orders = {
            "blocks": block_orders(n, block=block, permutations=59, seed=seed),
            "free": item_orders(n, permutations=59, seed=seed),
        }
        for name, some in orders.items():
            rejected[name] += p_value(x, y, some) <= 0.05
        first, second = halves_of_story(n, 10)
        halves = block_orders(n, block=20, permutations=59, seed=seed, within=(first, second))
        rejected["blocks in halves"] += p_value(x[first], y[first], halves[:, first]) <= 0.05
        assert (halves[:, first] < first.size).all()
    low, high = stats.binom.ppf([0.001, 0.999], studies, 0.05)
    assert low <= rejected["blocks"] <= high
    assert rejected["blocks in halves"] <= high
    assert rejected["free"] > 2 * high
