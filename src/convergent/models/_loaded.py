"""A loaded model, whatever its source: prepare inputs, run them, read modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convergent.brains._types import StimulusSet
from convergent.models._partial import Reading

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
    """

    ids: tuple[int, ...]
    word: tuple[int, ...]
    truncated: bool = False


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
            torch.inference_mode(),
            torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ),
        ):
            return self.run(batch.inputs)


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
