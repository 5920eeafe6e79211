"""The study as plain data: what exists, without a heavy import."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

_NUMBER = re.compile(r"(?<![^.])\d+(?![^.])")

Modality = Literal["vision", "language"]
Layout = Literal["tokens", "channels_first", "channels_last", "vector"]
Pooling = Literal["mean", "last", "cls", "spatial_mean", "flatten", "none"]
Role = Literal["trained", "random", "control"]

# What extraction counts of every layer, for its store and the table of coverage. Of the stimuli:
# their number; those with characters that the model does not know; texts that were cut; images of
# one value; images with nearly all values at an end of the range. Of what came out: the number of
# features; those that are the same for all stimuli; the stimuli whose features another one shares
# that shows or says something else.
COUNTED = (
    *("stimuli", "unknown", "truncated", "blank", "saturated"),
    *("features", "constant", "identical"),
)


@dataclass(frozen=True, slots=True)
class Layer:
    """One module of a model whose output is read.

    Attributes
    ----------
    name : str
        Module path, for example ``encoder.layer.3``; also the name in file paths. Of a module that
        runs several times in a pass, one of its runs, from 0: ``encoder.layer@2``.
    index : int
        Position in the table row, from 0.
    depth : float
        Relative depth in [0, 1]: 0 is the first listed layer, 1 the last.
    width : int
        Declared number of features (channels or hidden units) of the module's output.
    """

    name: str
    index: int
    depth: float
    width: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One set of weights of a model.

    Attributes
    ----------
    name : str
        Key, unique within the model: ``final``, ``step1000``, ``random-0``.
    role : {"trained", "random", "control"}
        ``random`` weights come from ``seed``; ``control`` is a model without weights.
    step : int or None
        Training step, for trajectories.
    reference : str
        Where the weights are (the model's reference unless the row says otherwise).
    revision : str
        Pinned revision of the reference; empty for local directories and packages.
    seed : int or None
        Seed of the random weights.
    final : bool
        Whether this is the checkpoint that stands for the model in cross-model comparisons.
    same_as : str
        Checkpoint (or ``model/checkpoint``) that was published with the same weights.
    """

    name: str
    role: Role
    step: int | None
    reference: str
    revision: str
    seed: int | None
    final: bool
    same_as: str = ""


@dataclass(frozen=True)
class Model:
    """One row of the models table, with its checkpoints.

    Attributes
    ----------
    key : str
        Unique key; also the name in file paths.
    family : str
        Models that share data, recipe or lineage; the unit of resampling.
    modality : {"vision", "language"}
    source : str
        Registered model source: ``transformers``, ``open_clip``, ``timm``, ``baseline``.
    reference : str
        Hub id, ``path:<directory>``, ``package:<module>/<subdirectory>``,
        ``trained:<recipe>`` or the name of a baseline.
    revision : str
        Pinned revision of the reference; empty for local directories and packages.
    architecture : str
        Source-specific architecture name (timm or open_clip name; for transformers
        the file that describes the network for checks without weights).
    parameters : int
        Number of parameters; 0 for controls.
    layers : tuple of Layer
    layout : {"tokens", "channels_first", "channels_last", "vector"}
        Axes of the layers' outputs: (item, token, feature), (item, channel, y, x),
        (item, y, x, channel) or (item, feature).
    pooling : {"mean", "last", "cls", "spatial_mean", "flatten", "none"}
    precision : {"float32", "bfloat16", "float16"}
    preprocessing : dict of str to str
        ``key=value`` pairs of the row.
    attention : {"causal", "bidirectional", ""}
        For language models: whether a token sees the tokens after it.
    tags : tuple of str
        Free labels, for example ``coco`` for models trained on COCO images or captions.
    checkpoints : tuple of Checkpoint
    source_location : str
        File and row, for error messages.
    """

    key: str
    family: str
    modality: Modality
    source: str
    reference: str
    revision: str
    architecture: str
    parameters: int
    layers: tuple[Layer, ...]
    layout: Layout
    pooling: Pooling
    precision: str
    preprocessing: dict[str, str]
    attention: str
    tags: tuple[str, ...]
    checkpoints: tuple[Checkpoint, ...]
    source_location: str = field(compare=False, default="")

    @cached_property
    def checkpoint_by_name(self) -> Mapping[str, Checkpoint]:
        """Checkpoints by name, in table order."""
        return {checkpoint.name: checkpoint for checkpoint in self.checkpoints}

    @cached_property
    def layer_by_name(self) -> Mapping[str, Layer]:
        """Layers by name, in table order."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def block_numbers(self) -> Mapping[str, int]:
        """Number in each layer's name, of layers that have exactly one: 7 of ``layers.7``."""
        found = {layer.name: _NUMBER.findall(layer.name) for layer in self.layers}
        return {name: int(numbers[0]) for name, numbers in found.items() if len(numbers) == 1}

    @cached_property
    def last_block(self) -> int:
        """Largest number in a layer's name; 0 without any."""
        return max(self.block_numbers.values(), default=0)

    @cached_property
    def has_trajectory(self) -> bool:
        """Whether checkpoints are of several steps of one training."""
        return len({one.step for one in self.checkpoints if one.step is not None}) > 1

    @property
    def is_control(self) -> bool:
        """Whether this is a baseline without weights, left out of performance correlations."""
        return self.source == "baseline"


@dataclass(frozen=True, slots=True)
class Performance:
    """One published or measured score of one checkpoint."""

    model: str
    checkpoint: str
    benchmark: str
    score: float
    source: str


@dataclass(frozen=True, slots=True)
class Unit:
    """What one job extracts or fits: a model, one of its checkpoints, or one layer of that."""

    model: str
    checkpoint: str | None = None
    layer: str | None = None

    @property
    def name(self) -> str:
        """Name for rules and logs."""
        return "_".join(part for part in (self.model, self.checkpoint, self.layer) if part)

    @property
    def options(self) -> str:
        """Command-line options that name the unit."""
        named = {"model": self.model, "checkpoint": self.checkpoint, "layer": self.layer}
        return " ".join(f"--{option} {value}" for option, value in named.items() if value)
