"""Null orders are permutations, and belong to stimuli and not to rows."""

import numpy as np
import pytest

from convergent.alignment import item_orders, story_orders
from convergent.errors import ConfigError


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


def test_story_orders_are_different_circular_shifts_of_a_minimal_size():
    orders = story_orders(30, permutations=21, minimum=5, seed=0)
    shifts = orders[:, 0]
    assert len(set(shifts)) == 21 and shifts.min() == 5 and shifts.max() == 25
    assert ((np.diff(orders, axis=1) % 30) == 1).all()


def test_more_permutations_than_shifts_are_refused():
    with pytest.raises(ConfigError, match="only 21 circular shifts"):
        story_orders(30, permutations=22, minimum=5, seed=0)
