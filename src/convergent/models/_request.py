"""What a source is asked to load."""

from __future__ import annotations

from dataclasses import dataclass

from convergent.models._options import Options
from convergent.study.types import Checkpoint, Model


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
