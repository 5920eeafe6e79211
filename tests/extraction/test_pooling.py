import numpy as np
import pytest
import torch

from convergent.errors import LayerError, ModelError
from convergent.extraction import check_pooling
from convergent.extraction.pooling import Segments, checked_output, pool

CHECK = {
    "layer": "block.1",
    "width": 6,
    "layout": "tokens",
    "items": 2,
    "tokens": None,
    "tuple_outputs": False,
    "where": "model 'm'",
}


def test_padding_never_counts_even_if_infinite():
    output = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    expected = torch.stack([output[0].mean(0), output[1, :2].mean(0)]).numpy()
    output[1, 2:] = torch.inf
    result = pool(output, layout="tokens", pooling="mean", mask=mask, skip=0)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    last = pool(output, layout="tokens", pooling="last", mask=mask, skip=0)
    np.testing.assert_array_equal(last, torch.stack([output[0, 3], output[1, 1]]).numpy())


def test_result_is_a_copy():
    output = torch.ones(2, 6)
    result = pool(output, layout="vector", pooling="none", mask=None, skip=0)
    output.zero_()
    assert result.all()


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_segments_average_their_own_tokens(pooling):
    output = torch.randn(2, 5, 3)
    segments = Segments(np.array([0, 0, 1, 1, 1]), np.array([1, 2, 0, 1, 2]), np.array([0, 2, 3]))
    result = pool(output, layout="tokens", pooling=pooling, mask=None, skip=0, segments=segments)
    parts = [output[0, 1:3], output[1, :1], output[1, 1:3]]
    expected = [part.mean(0) if pooling == "mean" else part[-1] for part in parts]
    np.testing.assert_allclose(result, torch.stack(expected).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("output", "changes"),
    [
        (torch.ones(2, 5, 7), {}),  # another width
        (torch.ones(2, 6, 5), {}),  # feature axis elsewhere
        (torch.ones(5, 2, 6), {}),  # token axis first
        (torch.ones(2, 6), {}),  # a vector
        (torch.ones(2, 4, 6), {"tokens": 5}),  # tokens dropped on the way
        (torch.ones(2, 5, 5, 6), {"layout": "channels_first"}),
        (torch.ones(2, 6, 5, 5), {"layout": "channels_last"}),
        (torch.ones(2, 6, 1), {"layout": "vector"}),
    ],
)
def test_undeclared_shape_is_an_error_with_module_and_shape(output, changes):
    shape = str(tuple(output.shape)).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(LayerError, match=rf"layer 'block.1': output float32 {shape}"):
        checked_output(output, **(CHECK | changes))


def test_tuples_are_for_sources_that_declare_them():
    states = torch.ones(2, 5, 6)
    with pytest.raises(LayerError, match=r"returns tuple of float32 \(2, 5, 6\), NoneType"):
        checked_output((states, None), **CHECK)
    assert checked_output((states, None), **(CHECK | {"tuple_outputs": True})) is states


@pytest.mark.parametrize(
    "output", [(None, torch.ones(2, 5, 6)), torch.ones(2, 5, 6).long(), {"x": 1}, ()]
)
def test_outputs_that_are_no_activations_are_refused(output):
    with pytest.raises(LayerError, match="not one tensor of activations"):
        checked_output(output, **(CHECK | {"tuple_outputs": True}))


@pytest.mark.parametrize(
    ("layout", "pooling", "modality", "design", "fits"),
    [
        ("tokens", "mean", "language", "story", True),
        ("tokens", "cls", "language", "items", True),
        ("tokens", "cls", "language", "story", False),
        ("tokens", "flatten", "vision", "items", True),
        ("tokens", "flatten", "language", "items", False),
        ("vector", "mean", "vision", "items", False),
        ("vector", "none", "language", "story", False),
        ("channels_last", "last", "vision", "items", False),
        ("channels_last", "spatial_mean", "vision", "items", True),
    ],
)
def test_rows_with_poolings_that_cannot_work_are_refused(
    layout, pooling, modality, design, fits, make_model
):
    model = make_model({"a": 1}, layout=layout, pooling=pooling, modality=modality)
    if fits:
        check_pooling(model, design)
    else:
        with pytest.raises(ModelError, match=f"pooling '{pooling}' does not go"):
            check_pooling(model, design)


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
@pytest.mark.parametrize("skip", [0, 1])
def test_the_side_of_the_padding_does_not_matter(pooling, skip):
    values = torch.randn(3, 5, 4)
    lengths = (5, 2, 3)
    right, left = (torch.full((3, 5, 4), torch.nan) for _ in range(2))
    masks = torch.zeros(2, 3, 5, dtype=torch.bool)
    for row, length in enumerate(lengths):
        right[row, :length] = left[row, 5 - length :] = values[row, :length]
        masks[0, row, :length] = masks[1, row, 5 - length :] = True
    options = {"layout": "tokens", "pooling": pooling, "skip": skip}
    results = [pool(x, mask=mask, **options) for x, mask in zip((right, left), masks, strict=True)]
    single = [
        pool(values[row : row + 1, :length], mask=None, **options)[0]
        for row, length in enumerate(lengths)
    ]
    for result in results:
        np.testing.assert_allclose(result, single, atol=1e-6)


def test_segments_find_their_tokens_behind_padding():
    output = torch.randn(2, 5, 3)
    mask = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]]).bool()
    segments = Segments(np.array([0, 1, 1]), np.array([4, 0, 2]), np.array([0, 1]))
    result = pool(output, layout="tokens", pooling="mean", mask=mask, skip=0, segments=segments)
    expected = torch.stack([output[0, 4], (output[1, 2] + output[1, 4]) / 2])
    np.testing.assert_allclose(result, expected.numpy(), atol=1e-6)
