"""Tokenisation that keeps track of words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    frame : (str, str), optional
        What stands before and behind every text: a prompt, or a chat template.
    chat : bool
        Whether the frame is a chat template, which brings the special tokens itself and whose
        tokens are in no mean.
    lower : bool
        Whether texts are read in lower case.
    length : int, optional
        Inputs are filled up to so many tokens with the tokenizer's own padding, which the network
        reads like any other token: there is no mask.

    Raises
    ------
    ModelError
        If the tokenizer is a slow one: its tokens cannot be traced to words.
    """

    def __init__(
        self,
        tokenizer: Any,
        max_tokens: int,
        opening: int | None,
        where: str,
        *,
        frame: tuple[str, str] = ("", ""),
        chat: bool = False,
        lower: bool = False,
        length: int | None = None,
    ) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                "the tokenizer has no fast version, so tokens cannot be traced to words",
                where=where,
                fix="add a tokenizer.json to the model's directory",
            )
        self._tokenizer = tokenizer
        self._opening = () if opening is None else (opening,)
        self._unknown = unknown_id(tokenizer)
        self._frame, self._chat, self._lower, self._length = frame, chat, lower, length
        self.max_tokens = max_tokens

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Tokenise texts, each one a single word as far as pooling is concerned."""
        return [self._encode_words([text]) for text in texts]

    def encode_words(self, windows: Sequence[Sequence[str]]) -> list[Encoding]:
        """Tokenise windows of words, joined by single spaces."""
        return [self._encode_words(words) for words in windows]

    def running_text(self, text: str) -> RunningText:
        """Tokenise a text of any length, without special tokens and without cutting it."""
        ids = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        unknown = self._tokenizer.unk_token_id
        lost = 0 if unknown is None else list(ids).count(unknown)
        mask = self._tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"]
        return RunningText(tuple(ids), lost, opens=bool(mask[0]))

    def collate(self, encodings: Sequence[Encoding]) -> Batch:
        """Pad on the right; padding is masked, so its id does not matter."""
        if self._length is not None:
            ids, mask = pad(encodings, self._length, fill=self._tokenizer.pad_token_id)
            return Batch({"input_ids": ids}, len(encodings), mask | True)
        ids, mask = pad(encodings, max(len(encoding.ids) for encoding in encodings))
        inputs = {"input_ids": ids, "attention_mask": mask.long()}
        for row, encoding in enumerate(encodings):
            for place in (number for number, out in enumerate(encoding.outside) if out):
                mask[row, place] = False
        return Batch(inputs, len(encodings), mask)

    def _encode_words(self, words: Sequence[str]) -> Encoding:
        before, behind = self._frame
        said = [word.lower() for word in words] if self._lower else list(words)
        spans, start = [], len(before)
        for word in said:
            spans.append((start, start + len(word)))
            start += len(word) + 1
        return self._encode(before + " ".join(said) + behind, spans)

    def _encode(self, text: str, spans: Sequence[tuple[int, int]]) -> Encoding:
        room = self.max_tokens - len(self._opening)
        coded = self._call(text, add_special_tokens=not self._chat)
        truncated = len(coded["input_ids"]) > room
        if truncated:
            coded = self._call(
                text, add_special_tokens=not self._chat, truncation=True, max_length=room
            )
        word = words_of_tokens(coded["offset_mapping"], coded["special_tokens_mask"], spans)
        outside: tuple[bool, ...] = ()
        if self._chat:
            outside = (False,) * len(self._opening) + tuple(number < 0 for number in word)
        # a special token may share the id of the unknown one: only those that stand for text count
        pairs = zip(coded["input_ids"], word, strict=True)
        return Encoding(
            ids=self._opening + tuple(coded["input_ids"]),
            word=(-1,) * len(self._opening) + word,
            truncated=truncated,
            unknown=tuple(
                number for token, number in pairs if token == self._unknown and number >= 0
            ),
            outside=outside,
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


def chat_frame(tokenizer: Any, where: str) -> tuple[str, str]:
    """What a tokenizer's chat template puts before and behind what a user says.

    Raises
    ------
    ModelError
        There is no template, or it does not leave a text as it is.
    """
    text = "\u2e28a text\u2e29"
    try:
        said = tokenizer.apply_chat_template([{"role": "user", "content": text}], tokenize=False)
    # Templates are programs of their own.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"chat=user, and the tokenizer's chat template can't be used ({first})",
            where=where,
            fix="remove the option",
        ) from error
    parts = str(said).split(text)
    if len(parts) != 2:
        raise ModelError(
            "chat=user, and the chat template changes or repeats what it is given",
            where=where,
            fix="remove the option, or write what stands before a text as prompt=<text>",
        )
    return parts[0], parts[1]


_SENTENCE = "The quick brown fox, 12 na\u00efve men \u2014 it didn't jump over Anna's dog!"


def check_tokens(tokenizer: Any, directory: Path, where: str) -> None:
    """Compare the tokens of a sentence with those of ``tokenizer.json``, where there is one.

    Some versions of transformers have read some tokenizers so that all blanks were lost.

    Raises
    ------
    ModelError
        They differ.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        return
    from tokenizers import Tokenizer

    core = Tokenizer.from_file(str(path))
    core.no_truncation()
    core.no_padding()
    expected = core.encode(_SENTENCE, add_special_tokens=False)
    found = tokenizer(_SENTENCE, add_special_tokens=False)["input_ids"]
    if list(found) != list(expected.ids):
        raise ModelError(
            f"transformers reads a sentence as {len(found)} tokens and tokenizer.json as "
            f"{len(expected.ids)}, of which not all are the same",
            where=where,
            fix="use another version of transformers, or make tokenizer_config.json and "
            "tokenizer.json agree",
        )


def pad(
    encodings: Sequence[Encoding], length: int, *, fill: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask of one batch, padded on the right, with zeros unless said.

    Returns
    -------
    ids : Tensor of int64, shape (item, token)
    mask : Tensor of bool, shape (item, token)
    """
    import torch

    ids = torch.full((len(encodings), length), fill, dtype=torch.int64)
    mask = torch.zeros(len(encodings), length, dtype=torch.bool)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = torch.tensor(encoding.ids)
        mask[row, : len(encoding.ids)] = True
    return ids, mask
