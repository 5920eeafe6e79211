"""Layers are found from structure and read from shapes, and nothing unclear is listed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from convergent.errors import LayerError
from convergent.models.inspect import Inspection, Sketch, inspect, read_layers
from convergent.models.layers import Pass, axes_of


def image_pass(module: nn.Module, items: int, side: int) -> Pass:
    pixels = torch.empty(items, 3, side, side, device="meta")
    return Pass(module, {"pixels": pixels}, lambda i: module(i["pixels"]), items, side=side)


def sketch_of(make: Callable[[], nn.Module], **options: bool) -> Sketch:
    with torch.device("meta"):
        module = make().eval()
    passes = image_pass(module, 3, 32), image_pass(module, 5, 64)
    return Sketch(passes, "vision", sum(p.numel() for p in module.parameters()), **options)


def listed(found: Inspection) -> list[tuple[str, str]]:
    return [(item.kind, item.path) for item in found.listed()]


def reasons(found: Inspection) -> dict[str, str]:
    return {left.path: left.reason for left in found.left_out}


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv2(self.conv1(x).relu())


class Network(nn.Module):
    """Stem, two stages of two blocks, norm and head; a test changes what it needs."""

    def __init__(self, last: type[nn.Module] = Block) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 4, stride=4)
        self.stages = nn.Sequential(
            nn.Sequential(Block(8), Block(8)), nn.Sequential(Block(8), last(8))
        )
        self.norm = nn.BatchNorm2d(8)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(8, 10)
        self.unused = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stages(self.stem(x)))
        return self.head(self.pool(x).flatten(1))


BLOCKS = [f"stages.{stage}.{block}" for stage in (0, 1) for block in (0, 1)]


def test_stem_blocks_norm_and_what_feeds_the_head_are_found():
    found = inspect(sketch_of(Network))
    expected = [("embedding", "stem"), *(("block", name) for name in BLOCKS)]
    assert listed(found) == [*expected, ("final_norm", "norm")]
    assert {(item.axes.layout, item.axes.width) for item in found.listed()} == {
        ("channels_first", 8)
    }
    depths = [item.depth for item in found.candidates]
    assert depths[0] == 0 and depths[-1] == 1 and depths == sorted(depths)


def test_a_stage_that_gives_its_last_blocks_tensor_is_not_listed_twice():
    same = {left.path: left.same_as for left in inspect(sketch_of(Network)).left_out}
    assert same["stages.0"] == "stages.0.1" and same["stages.1"] == "stages.1.1"


def test_a_tensor_changed_in_place_is_another_layer():
    class InPlace(Network):
        def __init__(self) -> None:
            super().__init__()
            self.stages[0].append(nn.ReLU(inplace=True))

    assert ("stage", "stages.0") in listed(inspect(sketch_of(InPlace)))


def test_what_does_not_run_is_left_out_with_the_reason():
    assert "does not run" in reasons(inspect(sketch_of(Network)))["unused"]


def test_a_block_that_returns_a_tuple_is_left_out_unless_the_loader_reads_the_first():
    class Pair(Block):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
            return super().forward(x), 1

    class First(Network):
        def __init__(self) -> None:
            super().__init__(Pair)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.stages[1][1](self.stages[1][0](self.stages[0](self.stem(x))))[0]

    assert "tuple of 2" in reasons(inspect(sketch_of(First)))["stages.1.1"]
    assert ("block", "stages.1.1") in listed(inspect(sketch_of(First, tuple_outputs=True)))


def test_a_block_that_runs_twice_is_left_out():
    class Twice(Network):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stages[0](self.stem(x))
            return self.stages[1][1](self.stages[1][0](self.stages[1][0](x)))

    assert "runs 2 times" in reasons(inspect(sketch_of(Twice)))["stages.1.0"]


def test_branches_are_no_blocks():
    class Branches(Network):
        def __init__(self) -> None:
            super().__init__()
            self.branches = nn.ModuleList([Block(8), Block(8)])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stages(self.stem(x))
            return sum(branch(x) for branch in self.branches)

    assert not [path for _, path in listed(inspect(sketch_of(Branches))) if "branch" in path]


def test_what_repeats_inside_a_residual_block_is_no_layer():
    class Outer(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.inner = nn.Sequential(Block(width), Block(width))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.inner(x)

    class Nested(Network):
        def __init__(self) -> None:
            super().__init__()
            self.stages = nn.Sequential(Outer(8), Outer(8))

    blocks = [path for kind, path in listed(inspect(sketch_of(Nested))) if kind == "block"]
    assert blocks == ["stages.0", "stages.1"]


def test_a_chain_of_convolutions_without_blocks_is_read_before_each_next_one():
    def make() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        )  # fmt: skip

    found = inspect(sketch_of(make))
    assert [item.path for item in found.listed()] == ["2", "5"]
    assert [item.axes.width for item in found.listed()] == [8, 16]


def test_a_network_that_resizes_its_images_is_built_for_the_larger_ones():
    class Resizing(Network):
        def __init__(self, side: int = 32) -> None:
            super().__init__()
            self.side = side

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(nn.functional.interpolate(x, (self.side, self.side)))

    sketch = sketch_of(Resizing)
    with pytest.raises(LayerError, match="which axis holds the channels"):
        inspect(sketch).listed()
    with torch.device("meta"):
        larger = Resizing(64).eval()
    second = replace(sketch.passes[1], otherwise=lambda: image_pass(larger, 5, 64))
    found = inspect(replace(sketch, passes=(sketch.passes[0], second)))
    assert [path for kind, path in listed(found) if kind == "block"] == BLOCKS


def test_a_network_in_which_nothing_repeats_is_refused():
    with pytest.raises(LayerError, match="no repeated modules"):
        inspect(sketch_of(lambda: nn.Conv2d(3, 8, 3)))


def test_modules_are_read_by_name_with_a_reason_for_each_that_cannot_be_a_layer():
    readings = read_layers(sketch_of(Network), ["stages.0.0", "stages.0.7", "unused"])
    good, missing, silent = readings.values()
    assert not isinstance(good, LayerError) and good.axes.width == 8
    assert isinstance(missing, LayerError) and "no module" in missing.what
    assert isinstance(silent, LayerError) and "does not run" in silent.what


MODULE = nn.Identity()
IMAGES = Pass(MODULE, {}, MODULE, 3, side=224), Pass(MODULE, {}, MODULE, 5, side=448)
TEXTS = Pass(MODULE, {}, MODULE, 3, tokens=7), Pass(MODULE, {}, MODULE, 5, tokens=14)


@pytest.mark.parametrize(
    ("passes", "small", "large", "expected"),
    [
        (IMAGES, (3, 64, 56, 56), (5, 64, 112, 112), ("channels_first", 64, 0)),
        (IMAGES, (3, 56, 56, 56), (5, 56, 112, 112), ("channels_first", 56, 0)),
        (IMAGES, (3, 56, 56, 56), (5, 112, 112, 56), ("channels_last", 56, 0)),
        (IMAGES, (3, 7, 7, 768), (5, 14, 14, 768), ("channels_last", 768, 0)),
        (IMAGES, (3, 768, 1, 1), (5, 768, 1, 1), ("channels_first", 768, 0)),
        (IMAGES, (3, 1, 1, 768), (5, 1, 1, 768), ("channels_last", 768, 0)),
        (IMAGES, (3, 196, 768), (5, 784, 768), ("tokens", 768, 0)),
        (IMAGES, (3, 197, 768), (5, 785, 768), ("tokens", 768, 1)),
        (IMAGES, (3, 201, 768), (5, 789, 768), ("tokens", 768, 5)),
        (IMAGES, (3, 16, 384), (5, 49, 384), ("tokens", 384, 0)),
        (IMAGES, (3, 768), (5, 768), ("vector", 768, 0)),
        (TEXTS, (3, 7, 512), (5, 14, 512), ("tokens", 512, 0)),
    ],
)
def test_axes_follow_from_what_the_input_changes(passes, small, large, expected):
    axes = axes_of(small, large, passes, "layer 'x'")
    assert (axes.layout, axes.width, axes.prefix) == expected


@pytest.mark.parametrize(
    ("passes", "small", "large"),
    [
        (IMAGES, (3, 14, 14, 14), (5, 14, 14, 14)),  # nothing follows the input
        (IMAGES, (3, 64, 14, 14), (5, 64, 28, 14)),  # half of it does
        (IMAGES, (3, 16, 196, 128), (5, 16, 784, 128)),  # tiles of tokens
        (IMAGES, (3, 768, 196), (5, 768, 784)),  # channels before positions
        (IMAGES, (3, 32, 768), (5, 32, 768)),  # a fixed number of queries
        (IMAGES, (3, 150, 768), (5, 611, 768)),  # no square grid
        (IMAGES, (12, 49, 96), (80, 49, 96)),  # windows in place of items
        (IMAGES, (3,), (5,)),
        (TEXTS, (3, 8, 512), (5, 15, 512)),  # a token more than the text has
    ],
)
def test_an_unclear_shape_is_an_error_and_never_a_guess(passes, small, large):
    with pytest.raises(LayerError, match="layer 'x'"):
        axes_of(small, large, passes, "layer 'x'")
