from __future__ import annotations

import json

import numpy as np
import plotly.graph_objects as go
import pytest

from convergent.report.page import pack, packed_plotly, plain, share, unpack


def restored(value, parts):
    """What the page does."""
    if isinstance(value, list):
        return [restored(item, parts) for item in value]
    if not isinstance(value, dict):
        return value
    if "$shared" in value:
        return parts[value["$shared"]]
    return {key: restored(item, parts) for key, item in value.items()}


def test_what_is_packed_comes_back_and_is_the_same_each_time():
    value = {"name": "</script> ü −", "rows": [[1, 2.5, None, True]]}
    text = pack(value)
    assert json.loads(unpack(text)) == value
    assert pack(value) == text
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")


def test_the_plotting_library_takes_less_than_half_of_its_size():
    assert len(packed_plotly()) < 0.5 * len(unpack(packed_plotly()))


@pytest.mark.parametrize("shape", [(7,), (3, 4)])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i4", "u1"])
def test_arrays_of_plotly_become_numbers(shape, dtype):
    values = (np.arange(np.prod(shape)).reshape(shape) / 3).astype(dtype)
    figure = go.Figure(go.Heatmap(z=values) if len(shape) == 2 else go.Scatter(y=values))
    written = plain(json.loads(figure.to_json()))["data"][0]
    np.testing.assert_allclose(written["z" if len(shape) == 2 else "y"], values, rtol=1e-5)


def test_rounding_keeps_six_digits_and_nothing_is_null():
    given = [0.123456789, 1.336e9, -2.0, float("nan"), float("inf"), 12, True, "x", None]
    assert plain(given) == [0.123457, 1336000000, -2, None, None, 12, True, "x", None]


def test_parts_of_several_figures_are_kept_once_and_come_back():
    mesh = list(range(4000))
    names = [f"area {i}" for i in range(500)]
    figures = {
        f"map {k}": {"data": [{"x": mesh, "text": names, "value": [k] * 900}], "layout": {}}
        for k in range(5)
    }
    small, parts = share(figures)
    assert {name: restored(figure, parts) for name, figure in small.items()} == figures
    assert len(parts) == 2
    assert len(json.dumps(small)) < 0.2 * len(json.dumps(figures))


def test_a_part_of_one_figure_stays_there():
    figures = {"one": {"data": [{"x": list(range(4000))}]}, "two": {"data": []}}
    assert share(figures) == (figures, [])
