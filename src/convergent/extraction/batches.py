"""What is fed to the model, in which order, and which result rows come out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from convergent.brains.types import StimulusSet
from convergent.errors import DataError, DeviceError, ModelError
from convergent.extraction.pooling import Segments
from convergent.models import Encoding, TextEncoder
from convergent.study.types import Model

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Window:
    """Words ``first`` to ``stop`` (exclusive), read together; ``target`` and later are kept.

    Attributes
    ----------
    first, target, stop : int
        Word indices of the story.
    """

    first: int
    target: int
    stop: int


def story_windows(words: int, context: int, attention: str, where: str) -> list[Window]:
    """Cut a story into windows that together keep every word once.

    Causal models: windows of ``2 * context`` words, half overlapping, so that each word is
    read after ``context`` to ``2 * context - 1`` words (fewer at the story's start) and each
    word is computed twice at most. Bidirectional models would see the words that follow in
    such a window; theirs ends with the word itself, one window a word.

    Parameters
    ----------
    words : int
    context : int
        Words of left context.
    attention : {"causal", "bidirectional"}
    where : str
        For the error message.

    Raises
    ------
    ModelError
        If the row does not say how the model attends.
    """
    if attention not in ("causal", "bidirectional"):
        raise ModelError(
            f"attention is '{attention}'",
            where=where,
            fix="write causal or bidirectional into the attention column, so that no word is "
            "read with words that come after it",
        )
    if attention == "bidirectional" or context == 0:
        return [Window(max(0, word - context), word, word + 1) for word in range(words)]
    windows = [Window(0, 0, min(2 * context, words))]
    while windows[-1].stop < words:
        first = windows[-1].first + context
        windows.append(Window(first, windows[-1].stop, min(first + 2 * context, words)))
    return windows


def check_encodings(
    windows: Sequence[Window], encodings: Sequence[Encoding], words: Sequence[str], where: str
) -> None:
    """Check that each kept word has a token, and that no window is too long.

    Raises
    ------
    DataError
        Naming the word.
    """
    for window, encoding in zip(windows, encodings, strict=True):
        if encoding.truncated:
            raise DataError(
                f"words {window.first} to {window.stop - 1} are more tokens than the model reads",
                where=where,
                fix="lower extraction.context_words",
            )
        present = set(encoding.word)
        for index in range(window.target - window.first, window.stop - window.first):
            if index not in present:
                number = window.first + index
                raise DataError(
                    f"word {number} ({words[number]!r}) has no token",
                    where=where,
                    fix="remove it from the stimuli: the tokenizer ignores its characters",
                )


def segments_of(
    windows: Sequence[Window], encodings: Sequence[Encoding]
) -> tuple[Segments, np.ndarray]:
    """Tokens of the kept words of a batch of windows.

    Returns
    -------
    segments : Segments
        One row a kept word.
    word : ndarray of int64, shape (row,)
        The story's word of each row.
    """
    items: list[int] = []
    tokens: list[int] = []
    starts: list[int] = []
    numbers: list[int] = []
    for item, (window, encoding) in enumerate(zip(windows, encodings, strict=True)):
        last = None
        for token, index in enumerate(encoding.word):
            number = window.first + index
            if index < 0 or number < window.target:
                continue
            if number != last:
                starts.append(len(items))
                numbers.append(number)
                last = number
            items.append(item)
            tokens.append(token)
    segments = Segments(
        item=np.array(items, dtype=np.int64),
        token=np.array(tokens, dtype=np.int64),
        start=np.array(starts, dtype=np.int64),
    )
    return segments, np.array(numbers, dtype=np.int64)


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
    unknown : int
        Texts, or words of a story, with characters that the model's vocabulary does not have.
    """

    number: int
    order: np.ndarray
    lengths: np.ndarray
    images: np.ndarray | None = None
    encodings: Sequence[Encoding] = ()
    windows: Sequence[Window] = ()
    truncated: int = 0
    unknown: int = 0

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
        unknown=sum(bool(encoding.unknown) for encoding in encodings),
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
        unknown=len(
            {
                window.first + word
                for window, encoding in zip(windows, encodings, strict=True)
                for word in encoding.unknown
            }
        ),
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


Batches = list[tuple[int, int]]

# What allocators say where there is no class of its own for it.
_FULL = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def cut(lengths: np.ndarray, size_of: Callable[[int], int], *, alike: float = 0.0) -> Batches:
    """Cut inputs into batches.

    Parameters
    ----------
    lengths : ndarray of int, shape (input,)
        Tokens of each input, in the order of running; 1 for images.
    size_of : callable
        ``size_of(length)``: inputs that a batch may hold when its longest has so many tokens.
    alike : float
        Share of the longest input's tokens that sorted inputs of one batch have at least: 0 fills
        batches, more saves padding.

    Returns
    -------
    list of (int, int)
        First input of each batch and one past the last. They depend on nothing else, so that
        every job that reads the same inputs runs the same passes.
    """
    batches, start = [], 0
    while start < len(lengths):
        stop = start + max(1, size_of(int(lengths[start])))
        longest = int(lengths[start:stop].max())
        if longest > lengths[start]:  # inputs are not sorted
            stop = min(stop, start + max(1, size_of(longest)))
        stop = min(stop, len(lengths))
        short = np.flatnonzero(lengths[start:stop] < alike * lengths[start])
        if short.size:
            stop = start + int(short[0])
        batches.append((start, stop))
        start = stop
    return batches


def run_batches(
    batches: Sequence[tuple[int, int]], process: Callable[[int, int], None], where: str
) -> int:
    """Call ``process(start, stop)`` for all batches, in halves once memory has run out.

    Parameters
    ----------
    batches : sequence of (int, int)
    process : callable
        Handles inputs ``start`` to ``stop``; must be safe to call again after a failure.
    where : str
        For messages.

    Returns
    -------
    int
        How many times batches were halved: 0 if memory never ran out.

    Raises
    ------
    DeviceError
        If a single input does not fit.
    """
    halvings = 0
    for first, end in batches:
        start = first
        while start < end:
            size = max(1, (end - first) >> halvings)
            stop = min(start + size, end)
            if _fits(process, start, stop, where):
                start = stop
                continue
            # Outside the handler: its traceback would keep the failed pass's tensors alive.
            halvings += 1
            _release()
            log.warning("%s: out of memory with %d inputs: batches are halved", where, stop - start)
    return halvings


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory has run out."""
    import torch

    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return known or any(text in str(error) for text in _FULL)


def _fits(process: Callable[[int, int], None], start: int, stop: int, where: str) -> bool:
    import torch

    try:
        process(start, stop)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        if stop - start == 1:
            raise DeviceError(
                "out of memory with a single input",
                where=where,
                fix="use a larger machine or GPU, a lower precision, or fewer layers a job",
            ) from error
        return False
    return True


def _release() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
