"""Layers seen one at a time are chosen as of all of them together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convergent.alignment import LayerMaximum, choose_layers, mean_defined
from convergent.errors import DataError


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.booleans())
def test_one_layer_at_a_time_gives_the_same_bytes_as_all_together(seed, layers, permuted):
    rng = np.random.default_rng(seed)
    shape = (layers, *((4,) if permuted else ()), 3, 5)
    inner = rng.integers(-3, 4, shape) / 4  # with ties
    outer = rng.normal(size=shape).astype(np.float32 if permuted else np.float64)
    inner[rng.random(shape) < 0.3] = np.nan
    outer[rng.random(shape) < 0.1] = np.nan
    inner[..., 2] = np.nan  # a region without any inner score
    depths = np.linspace(0, 1, layers)
    maximum = LayerMaximum()
    for one, other, depth in zip(inner, outer, depths, strict=True):
        before = one.copy(), other.copy()
        maximum.add(one, other, depth)
        np.testing.assert_array_equal(one, before[0])
        np.testing.assert_array_equal(other, before[1])
    axis = 1 if permuted else 0
    chosen = choose_layers(np.moveaxis(inner, 0, axis), np.moveaxis(outer, 0, axis))
    assert maximum.score.tobytes() == chosen.score.tobytes()
    expected = np.where(chosen.layer < 0, np.nan, depths[chosen.layer])
    np.testing.assert_array_equal(maximum.depth, expected)
    assert np.isnan(mean_defined(maximum.depth, axis=-2)[..., 2]).all()


def test_layers_of_different_shapes_are_refused():
    maximum = LayerMaximum()
    maximum.add(np.zeros((3, 5)), np.zeros((3, 5)), 0.0)
    with pytest.raises(DataError, match="same folds and regions"):
        maximum.add(np.zeros((3, 4)), np.zeros((3, 4)), 1.0)
