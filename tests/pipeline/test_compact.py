"""Penalties kept as places in their grid, and scores in the precision of their fit."""

from __future__ import annotations

import numpy as np
import pytest

from convergent.pipeline.metrics import penalties, per_target


@pytest.mark.parametrize("number", [1, 19, 128, 129, 1000])
def test_penalties_come_back_to_the_last_digit(number):
    grid = np.logspace(-1, 8, number)
    chosen = np.random.default_rng(0).choice(grid, size=(5, 300))
    chosen[:, 7] = np.nan
    arrays = {name: values for name, (_, values) in penalties("alpha", chosen, grid).items()}
    index = arrays["alpha_index"]
    assert (index[:, 7] == -1).all()
    found = np.where(index >= 0, arrays["alpha_grid"][index], np.nan)
    np.testing.assert_array_equal(found, chosen)
    assert index.itemsize == (1 if number <= 128 else 2)


def test_a_penalty_between_two_of_the_grid_is_refused():
    with pytest.raises(AssertionError, match="alpha is not of its grid"):
        penalties("alpha", np.array([[1.5]]), np.array([1.0, 2.0]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_scores_have_the_precision_of_their_fit(dtype):
    values = np.array([1 / 3, np.nan])
    ((name, (dims, kept)),) = per_target(("target",), dtype, r=values).items()
    assert (name, dims, kept.dtype) == ("r", ("target",), dtype)
    np.testing.assert_array_equal(kept, values.astype(dtype))
