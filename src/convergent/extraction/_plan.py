"""What is fed to the model, in which order, and which result rows come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convergent.brains._types import StimulusSet
from convergent.errors import DataError
from convergent.extraction._pooling import Segments
from convergent.extraction._windows import Window, check_encodings, segments_of, story_windows
from convergent.models import Encoding, TextEncoder
from convergent.study.types import Model


@dataclass(frozen=True)
class Plan:
    """Inputs of all forward passes, in the order of running.

    Attributes
    ----------
    number : int
        Inputs: images, sentences or windows.
    order : ndarray of int64, shape (number,)
        Stimulus of each input; unused for stories.
    lengths : ndarray of int64, shape (number,)
        Tokens of each input, decreasing; 1 for images.
    images : ndarray of uint8, shape (stimulus, y, x, 3), optional
        Or a `StoredArray`.
    encodings : list of Encoding, optional
    windows : list of Window, optional
        Stories: what each encoding covers.
    truncated : int
        Texts that were cut to the model's longest input.
    """

    number: int
    order: np.ndarray
    lengths: np.ndarray
    images: np.ndarray | None = None
    encodings: Sequence[Encoding] = ()
    windows: Sequence[Window] = ()
    truncated: int = 0

    def items(self, start: int, stop: int) -> np.ndarray | Sequence[Encoding]:
        """Inputs of one batch."""
        if self.images is not None:
            batch: np.ndarray = self.images[self.order[start:stop]]
            return batch
        return self.encodings[start:stop]

    def rows(self, start: int, stop: int) -> tuple[np.ndarray, Segments | None]:
        """Stimuli that one batch gives vectors for, and, for stories, their tokens."""
        if not self.windows:
            return self.order[start:stop], None
        segments, words = segments_of(self.windows[start:stop], self.encodings[start:stop])
        return words, segments


def plan_images(stimuli: StimulusSet, where: str) -> Plan:
    """Images in their own order.

    Raises
    ------
    DataError
        If the stimuli have no images.
    """
    if stimuli.images is None:
        raise DataError(
            f"data set '{stimuli.name}' has no images", where=where, fix="check its modality"
        )
    return Plan(
        number=len(stimuli),
        order=np.arange(len(stimuli), dtype=np.int64),
        lengths=np.ones(len(stimuli), dtype=np.int64),
        images=stimuli.images,
    )


def plan_texts(stimuli: StimulusSet, text: TextEncoder, skip: int, where: str) -> Plan:
    """Sentences, the longest first: little padding, and memory runs out at once or never.

    Raises
    ------
    DataError
        If a text has no tokens to read.
    """
    encodings = text.encode(_texts(stimuli, where))
    for identifier, encoding in zip(stimuli.ids, encodings, strict=True):
        if len(encoding.ids) <= skip:
            raise DataError(
                f"stimulus '{identifier}' has {len(encoding.ids)} tokens, {skip} are left out",
                where=where,
                fix="remove the stimulus, or the option skip_tokens",
            )
    order, lengths = _by_length(encodings)
    return Plan(
        number=len(encodings),
        order=order,
        lengths=lengths,
        encodings=[encodings[index] for index in order],
        truncated=sum(encoding.truncated for encoding in encodings),
    )


def plan_story(
    stimuli: StimulusSet, text: TextEncoder, model: Model, context: int, where: str
) -> Plan:
    """Windows of a story, the longest first.

    Raises
    ------
    DataError, ModelError
        See `story_windows` and `check_encodings`.
    """
    words = _texts(stimuli, where)
    windows = story_windows(len(words), context, model.attention, where)
    encodings = text.encode_words([words[window.first : window.stop] for window in windows])
    check_encodings(windows, encodings, words, where)
    order, lengths = _by_length(encodings)
    return Plan(
        number=len(windows),
        order=order,
        lengths=lengths,
        encodings=[encodings[index] for index in order],
        windows=[windows[index] for index in order],
    )


def _by_length(encodings: Sequence[Encoding]) -> tuple[np.ndarray, np.ndarray]:
    lengths = np.array([len(encoding.ids) for encoding in encodings], dtype=np.int64)
    order = np.argsort(-lengths, kind="stable")
    return order, lengths[order]


def _texts(stimuli: StimulusSet, where: str) -> tuple[str, ...]:
    if stimuli.texts is None:
        raise DataError(
            f"data set '{stimuli.name}' has no texts", where=where, fix="check its modality"
        )
    return stimuli.texts
