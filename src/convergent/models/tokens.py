"""Tokenisation that keeps track of words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convergent.errors import ModelError
from convergent.models.source import Batch, Encoding

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class RunningText:
    """A tokenised text that may be longer than a model can read.

    Attributes
    ----------
    ids : tuple of int
        Without special tokens.
    unknown : int
        Tokens that stand for characters which the vocabulary does not have.
    opens : bool
        Whether the tokenizer puts a special token in front of every text.
    """

    ids: tuple[int, ...]
    unknown: int
    opens: bool


class FastTokenizer:
    """A fast tokenizer of transformers, which knows each token's characters.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast
    max_tokens : int
        Longest input that the model can read.
    opening : int or None
        Token put in front of every text; None to leave texts as the tokenizer makes them.

    Raises
    ------
    ModelError
        If the tokenizer is a slow one: its tokens cannot be traced to words.
    """

    def __init__(self, tokenizer: Any, max_tokens: int, opening: int | None, where: str) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                "the tokenizer has no fast version, so tokens cannot be traced to words",
                where=where,
                fix="add a tokenizer.json to the model's directory",
            )
        self._tokenizer = tokenizer
        self._opening = () if opening is None else (opening,)
        self._unknown = unknown_id(tokenizer)
        self.max_tokens = max_tokens

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenise texts, each one a single word as far as pooling is concerned."""
        return [self._encode(text, [(0, len(text))]) for text in texts]

    def encode_words(self, windows: Sequence[Sequence[str]]) -> list[Encoding]:
        """Tokenise windows of words, joined by single spaces."""
        encodings = []
        for words in windows:
            spans, start = [], 0
            for word in words:
                spans.append((start, start + len(word)))
                start += len(word) + 1
            encodings.append(self._encode(" ".join(words), spans))
        return encodings

    def running_text(self, text: str) -> RunningText:
        """Tokenise a text of any length, without special tokens and without cutting it."""
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        unknown = self._tokenizer.unk_token_id
        lost = 0 if unknown is None else list(ids).count(unknown)
        mask = self._tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
        return RunningText(tuple(ids), lost, opens=bool(mask[0]))

    def collate(self, encodings: Sequence[Encoding]) -> Batch:
        """Pad on the right; padding is masked, so its id does not matter."""
        ids, mask = pad(encodings, max(len(encoding.ids) for encoding in encodings))
        return Batch({"input_ids": ids, "attention_mask": mask.long()}, len(encodings), mask)

    def _encode(self, text: str, spans: Sequence[tuple[int, int]]) -> Encoding:
        room = self.max_tokens - len(self._opening)
        coded = self._call(text)
        truncated = len(coded["input_ids"]) > room
        if truncated:
            coded = self._call(text, truncation=True, max_length=room)
        word = words_of_tokens(coded["offset_mapping"], coded["special_tokens_mask"], spans)
        # a special token may share the id of the unknown one: only those that stand for text count
        pairs = zip(coded["input_ids"], word, strict=True)
        return Encoding(
            ids=self._opening + tuple(coded["input_ids"]),
            word=(-1,) * len(self._opening) + word,
            truncated=truncated,
            unknown=tuple(
                number for token, number in pairs if token == self._unknown and number >= 0
            ),
        )

    def _call(self, text: str, **arguments: Any) -> Any:
        return self._tokenizer(
            text,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
            **arguments,
        )


def unknown_id(tokenizer: Any) -> int | None:
    """Token that stands for characters which the vocabulary does not have; None without one.

    A tokenizer.json may name one that the tokenizer's own configuration does not.
    """
    if tokenizer.unk_token_id is not None:
        return int(tokenizer.unk_token_id)
    core = tokenizer.backend_tokenizer
    name = getattr(core.model, "unk_token", None)
    found: int | None = None if name is None else core.token_to_id(name)
    return found


def words_of_tokens(
    offsets: Iterable[tuple[int, int]],
    special: Iterable[int],
    spans: Sequence[tuple[int, int]],
) -> tuple[int, ...]:
    """Word of each token, from character offsets.

    A token that covers characters of several words belongs to the last of them: it cannot
    be known before that word. A token of blanks only, or a special one, belongs to none (-1).

    Parameters
    ----------
    offsets : iterable of (int, int)
        First character and one past the last, for each token.
    special : iterable of int
        1 for special tokens.
    spans : sequence of (int, int)
        Characters of each word, in order.
    """
    result, current = [], 0
    for (start, end), is_special in zip(offsets, special, strict=True):
        word = -1
        if not is_special and end > start:
            while current < len(spans) and spans[current][1] <= start:
                current += 1
            ahead = current
            while ahead < len(spans) and spans[ahead][0] < end:
                word = ahead
                ahead += 1
        result.append(word)
    return tuple(result)


def pad(encodings: Sequence[Encoding], length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of one batch, padded with zeros on the right.

    Returns
    -------
    ids : Tensor of int64, shape (item, token)
    mask : Tensor of bool, shape (item, token)
    """
    import torch

    ids = torch.zeros(len(encodings), length, dtype=torch.int64)
    mask = torch.zeros(len(encodings), length, dtype=torch.bool)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
        mask[row, : len(encoding.ids)] = True
    return ids, mask
