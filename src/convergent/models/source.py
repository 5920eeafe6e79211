"""Model sources: where architectures and weights come from."""

from __future__ import annotations

import functools
import math
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convergent.brains.types import StimulusSet
from convergent.errors import ModelError, did_you_mean
from convergent.models.state import Reading
from convergent.names import shown
from convergent.registry import SOURCES
from convergent.study.types import Checkpoint, Model

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Encoding:
    """One tokenised text.

    Attributes
    ----------
    ids : tuple of int
        Token ids, special tokens included, padding not.
    word : tuple of int
        For each token, the word of the text that it belongs to; -1 for special tokens.
    truncated : bool
        Whether the text was longer than the model can read.
    outside : tuple of bool
        For each token, whether it belongs to a chat template: no part of a mean, and never the
        last. Empty where there is none.
    unknown : tuple of int
        Words of the tokens that stand for characters which the vocabulary does not have.
    """

    ids: tuple[int, ...]
    word: tuple[int, ...]
    truncated: bool = False
    unknown: tuple[int, ...] = ()
    outside: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Batch:
    """Inputs of one forward pass.

    Attributes
    ----------
    inputs : dict of str to Tensor
        Arguments of the model.
    size : int
        Number of items.
    mask : Tensor of bool, shape (item, token), optional
        True for real tokens, False for padding; None for images.
    """

    inputs: dict[str, torch.Tensor]
    size: int
    mask: torch.Tensor | None = None

    def to(self, device: str) -> Batch:
        """Move the inputs to a device."""
        moved = {name: value.to(device) for name, value in self.inputs.items()}
        mask = None if self.mask is None else self.mask.to(device)
        return Batch(moved, self.size, mask)


class TextEncoder(Protocol):
    """Tokeniser of a language model.

    Attributes
    ----------
    max_tokens : int
        Longest input that the model can read.
    """

    max_tokens: int

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenise texts, each on its own, truncated at ``max_tokens``."""
        ...

    def encode_words(self, windows: Sequence[Sequence[str]]) -> list[Encoding]:
        """Tokenise windows of words, keeping track of which token belongs to which word."""
        ...

    def collate(self, encodings: Sequence[Encoding]) -> Batch:
        """Pad encodings on the right to one length."""
        ...


@dataclass(frozen=True)
class LoadedModel:
    """A network in evaluation mode, without gradients.

    Attributes
    ----------
    module : torch.nn.Module
        Modules are looked up in it by the layers' names.
    run : callable
        ``run(inputs)``: one forward pass.
    device : str
    dtype : str
    images : callable, optional
        ``images(array)``: uint8 (item, y, x, 3) to the model's pixel values
        (item, 3, y, x), float32 on the CPU; vision models only.
    text : TextEncoder, optional
        Language models only.
    tuple_outputs : bool
        Whether modules may return (hidden states, ...): the first element is then read.
    fresh : tuple of str
        Parameters that the checkpoint does not have and that were therefore initialised.
    preprocessing : dict
        What was actually done to the inputs, for provenance.
    reading : Reading
        How much of the weights was read.
    embed_texts : callable, optional
        ``embed_texts(texts)``: (text, feature) in the space of ``run``'s outputs, for image
        towers of dual encoders.
    seed : int, optional
        Seeds the random generators before every pass, for networks that draw numbers in it.
    """

    module: torch.nn.Module
    run: Callable[[dict[str, torch.Tensor]], Any]
    device: str
    dtype: str
    images: Callable[[np.ndarray], torch.Tensor] | None = None
    text: TextEncoder | None = None
    tuple_outputs: bool = False
    fresh: tuple[str, ...] = ()
    preprocessing: dict[str, object] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    embed_texts: Callable[[Sequence[str]], torch.Tensor] | None = None
    seed: int | None = None

    def prepare(self, items: np.ndarray | Sequence[Encoding]) -> Batch:
        """Make the inputs of one forward pass, on the model's device.

        Parameters
        ----------
        items : ndarray of uint8, shape (item, y, x, 3), or sequence of Encoding
            Images for vision models, tokenised texts for language models.
        """
        import torch

        if isinstance(items, np.ndarray):
            if self.images is None:
                raise TypeError("this model reads text, not images")
            pixels = self.images(items).to(getattr(torch, self.dtype))
            return Batch({"pixels": pixels}, len(items)).to(self.device)
        if self.text is None:
            raise TypeError("this model reads images, not text")
        return self.text.collate(items).to(self.device)

    def forward(self, batch: Batch) -> Any:
        """Run one forward pass without gradients."""
        import torch

        # TF32 convolutions lose 13 bits and differ between batch sizes.
        with (
            _seeded(self.seed),
            torch.inference_mode(),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            return self.run(batch.inputs)


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Seed the generators that networks draw from, and give them back as they were."""
    if seed is None:
        yield
        return
    import torch

    numbers, library = np.random.get_state(), random.getstate()  # noqa: NPY002
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(numbers)  # noqa: NPY002
            random.setstate(library)


@dataclass(frozen=True)
class LoadedBaseline:
    """A control without weights: features computed from the stimuli themselves.

    Attributes
    ----------
    name : str
    compute : callable
        ``compute(stimuli)``: float32 array (stimulus, feature).
    """

    name: str
    compute: Callable[[StimulusSet], np.ndarray]


IMAGE_OPTIONS = frozenset({"size", "crop", "mean", "std", "interpolation", "resize", "fill"})
TOKEN_OPTIONS = frozenset({"skip_first_token", "skip_tokens", "max_length", "normalise"})
# How inputs share passes: of every network, whatever its source.
PASS_OPTIONS = frozenset({"batch", "seed"})


FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
RESIZES = ("crop", "squash", "longest")
_LARGEST = 1_000_000  # of any whole number: pixels of a side, tokens, filters


class Options:
    """Typed access to a row's options; values of known keys are checked at once.

    Parameters
    ----------
    model : Model
    allowed : iterable of str
        Keys that the model's source understands.

    Raises
    ------
    ModelError
        If the row has another key (a misspelt option must not be ignored), or a value that its
        key cannot have.
    """

    def __init__(self, model: Model, allowed: Iterable[str]) -> None:
        self._values = dict(model.preprocessing)
        self._where = f"model '{model.key}', column preprocessing"
        known = frozenset(allowed)
        for key in self._values:
            if key not in known:
                raise ModelError(
                    f"unknown option '{key}' for source '{model.source}'",
                    where=self._where,
                    fix=did_you_mean(key, known),
                )
            if key in _CHECKS:
                _CHECKS[key](self, key)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def text(self, key: str, default: str = "") -> str:
        """Value as written."""
        return self._values.get(key, default)

    def choice(self, key: str, default: str, among: Iterable[str]) -> str:
        """Value that must be one of a few words."""
        value, known = self._values.get(key, default), sorted(among)
        if value not in known:
            raise self._bad(key, value, f"one of {', '.join(known)}")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        """``yes`` or ``no``."""
        return self.choice(key, "yes" if default else "no", ("yes", "no")) == "yes"

    def integer(self, key: str, default: int | None = None, minimum: int = 1) -> int:
        """Whole number of at least ``minimum``; a default is the network's own, however large."""
        if key not in self._values and default is not None:
            return default
        value = self._values.get(key, "")
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise self._bad(key, value, "a whole number")
        if not minimum <= int(value) <= _LARGEST:
            raise self._bad(key, value, f"a number from {minimum} to {_LARGEST:,}")
        return int(value)

    def floats(
        self,
        key: str,
        default: tuple[float, ...] | None,
        count: int,
        *,
        above: float = -math.inf,
        most: float = 1e6,
    ) -> tuple[float, ...]:
        """``count`` comma-separated numbers in (above, most]; a single one is repeated."""
        if key not in self._values and default is not None:
            return default
        value = self._values.get(key, "")
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            raise self._bad(key, value, "numbers separated by commas") from None
        if len(numbers) == 1:
            numbers = numbers * count
        if len(numbers) != count:
            raise self._bad(key, value, f"1 or {count} numbers" if count > 1 else "one number")
        if not all(above < number <= most and math.isfinite(number) for number in numbers):
            limits = f"above {above:g} and " if math.isfinite(above) else ""
            raise self._bad(key, value, f"numbers {limits}at most {most:g}")
        return numbers

    def file(self, key: str) -> str:
        """Name of a file in the model's folder."""
        value = self._values.get(key, "")
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts or "*" in value:
            raise self._bad(key, value, "the name of a file in the folder of the weights")
        return value

    def _bad(self, key: str, value: str, expected: str) -> ModelError:
        what = (
            f"option {key}='{shown(value)}' is not valid" if value else f"option '{key}' is missing"
        )
        return ModelError(what, where=self._where, fix=f"give {key} as {expected}")


def _whole(minimum: int) -> Callable[[Options, str], object]:
    return lambda options, key: options.integer(key, minimum=minimum)


def _one_of(*words: str) -> Callable[[Options, str], object]:
    return lambda options, key: options.choice(key, words[0], words)


# What the values of known keys may be; those of sources outside this package are theirs to check.
_CHECKS: dict[str, Callable[[Options, str], object]] = {
    **dict.fromkeys(("size", "max_length", "img_size"), _whole(1)),
    **dict.fromkeys(("orientations", "scales", "grid", "n", "features", "degree"), _whole(1)),
    **dict.fromkeys(("skip_tokens", "num_classes", "seed"), _whole(0)),
    "batch": _one_of("padded", "equal", "one"),
    "mask_ratio": _one_of("0"),
    "crop": lambda options, key: options.floats(key, None, 1, above=0, most=1.5),
    "mean": lambda options, key: options.floats(key, None, 3),
    "std": lambda options, key: options.floats(key, None, 3, above=0),
    "interpolation": _one_of(*FILTERS),
    "resize": _one_of(*RESIZES),
    "fill": lambda options, key: options.floats(key, None, 3, above=-1, most=255),
    **dict.fromkeys(("skip_first_token", "normalise"), _one_of("yes", "no")),
    "chat": _one_of("none", "user"),
    "weights": _one_of("by_name", "in_order"),
    "device_map": _one_of("none", "auto"),
    "file": Options.file,
    "gguf": Options.file,
}


@dataclass(frozen=True)
class LoadRequest:
    """One checkpoint of one model, on one device.

    Attributes
    ----------
    model, checkpoint : Model, Checkpoint
    options : Options
        The row's preprocessing options, known keys only.
    weight_files : tuple of str
        Weight files in the directory that the manifest chose; empty for random weights.
    device : str
        ``cpu``, ``cuda`` or ``cuda:<n>``.
    dtype : {"float32", "bfloat16", "float16"}
    layers : tuple of str, optional
        The layers that will be read: weights that they do not need may stay in the file.
    offload : {"none", "cpu"}
        Whether weights that fit on no GPU may wait in host memory.
    head : bool
        Whether a language model predicts the next token: its layers then have other paths.
    """

    model: Model
    checkpoint: Checkpoint
    options: Options
    weight_files: tuple[str, ...]
    device: str
    dtype: str
    layers: tuple[str, ...] | None = None
    offload: str = "none"
    head: bool = False

    @property
    def where(self) -> str:
        """For error messages."""
        return f"model '{self.model.key}', checkpoint '{self.checkpoint.name}'"

    @property
    def seed(self) -> int | None:
        """Seed of the random weights; None for trained ones."""
        return self.checkpoint.seed if self.checkpoint.role == "random" else None


class Source(Protocol):
    """What a model source provides. Methods import their library when they are called.

    Attributes
    ----------
    options : frozenset of str
        Keys that a row's ``preprocessing`` may use with this source.
    weight_names : tuple of str
        Names of weight files in a directory, the preferred (safest) first.
    config_patterns : tuple of str
        Glob patterns of the other files that decide what the model computes:
        architecture, tokenizer, image preprocessing.
    """

    options: frozenset[str]
    weight_names: tuple[str, ...]
    config_patterns: tuple[str, ...]

    def hub_id(self, architecture: str, reference: str) -> str:
        """Hub repository that a pretrained tag of this source stands for."""
        ...

    def load(self, request: LoadRequest, directory: Path | None) -> LoadedModel:
        """Build the model in evaluation mode, with trained or random weights."""
        ...


@functools.cache
def source(name: str) -> Source:
    """Make a model source, once.

    Raises
    ------
    UnknownKeyError, PluginError
        If no source has this name, or it cannot be used.
    """
    made: Source = SOURCES.load(name)()
    return made
