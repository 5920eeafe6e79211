"""Stories as windows of words: each word is read with the words before it, never after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convergent.errors import DataError, ModelError
from convergent.extraction._pooling import Segments
from convergent.models import Encoding


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
