"""Evaluations of causal language models by their predictions of held-out text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convergent.errors import DataError, ModelError
from convergent.evaluation.evaluate import Needs, Subject, evaluation, read_evaluated
from convergent.models import Batch, LoadedModel
from convergent.models import FastTokenizer as Tokenizer
from convergent.study.types import Model

if TYPE_CHECKING:
    import torch


_TOKENS = 4096  # of one pass


def is_causal_lm(model: Model) -> bool:
    """Whether a model predicts the next token."""
    return (
        model.modality == "language"
        and model.source == "transformers"
        and model.attention == "causal"
        and "gguf" not in model.preprocessing
    )


@dataclass(frozen=True)
class Predictions:
    """How well a text was predicted.

    Attributes
    ----------
    nats : float
        Total negative log probability of all tokens.
    correct, tokens : int
    bytes : int
        Of the text in UTF-8.
    source : str
        On what, and how, it was measured.
    """

    nats: float
    correct: int
    tokens: int
    bytes: int
    source: str


@dataclass(frozen=True, slots=True)
class Window:
    """Tokens of one pass: those from ``scored`` on are predicted, the others are context."""

    ids: tuple[int, ...]
    scored: int


@evaluation(is_causal_lm, needs=Needs(text=True))
def bits_per_byte(subject: Subject) -> tuple[float, str]:
    """Bits a byte of UTF-8: comparable between models with other tokenizers; lower is better."""
    found = subject.cached("predictions", lambda: predict(subject))
    return found.nats / found.bytes / math.log(2), f"{found.source}, {found.bytes} bytes"


@evaluation(is_causal_lm, needs=Needs(text=True))
def next_token_accuracy(subject: Subject) -> tuple[float, str]:
    """Share of tokens that are the model's first guess."""
    found = subject.cached("predictions", lambda: predict(subject))
    return found.correct / found.tokens, f"{found.source}, {found.tokens} tokens"


def predict(subject: Subject) -> Predictions:
    """Predict every token of the study's text, or of the data set's held-out texts, once.

    The first token is predicted from a start token. A text that is longer than a window is read
    in windows that overlap: each scores the tokens that those before it have not, and its other
    tokens are their context.
    """
    loaded = subject.network(head=True)
    if not isinstance(loaded.text, Tokenizer):
        raise ModelError("no tokenizer", where=subject.where, fix="correct the modality column")
    start = _start(loaded, subject)
    if subject.material.text is None:
        windows, size, source = _benchmark_windows(subject, loaded.text, start)
    else:
        windows, size, source = _text_windows(subject, loaded.text, start)
    nats, correct, tokens = 0.0, 0, 0
    for chosen in _batches(windows, subject.batch_size):
        losses, hits = _score(loaded, chosen)
        nats += float(losses.double().sum())
        correct += int(hits.sum())
        tokens += int(losses.numel())
    return Predictions(nats, correct, tokens, size, f"measured: {source}, {loaded.dtype}")


def cut_windows(
    ids: Sequence[int], start: int, *, window: int, stride: int, opens: bool
) -> Iterator[Window]:
    """Cut a text into windows in which every token is predicted exactly once.

    Parameters
    ----------
    ids : sequence of int
        Tokens of the text.
    start : int
        Token that the first one is predicted from.
    window : int
        Tokens of a window, the start token included.
    stride : int
        Tokens by which a window moves on; every token but those of the first window has at
        least ``window - stride - 1`` tokens before it.
    opens : bool
        Whether every window begins with the start token, as the model's texts do.
    """
    sequence = (start, *ids)
    begin, done = 0, 1
    while done < len(sequence):
        if begin and opens:
            piece = (start, *sequence[begin + 1 : begin + window])
        else:
            piece = sequence[begin : begin + window]
        yield Window(piece, done - begin)
        done = begin + len(piece)
        begin += stride


def _text_windows(
    subject: Subject, tokenizer: Tokenizer, start: int
) -> tuple[list[Window], int, str]:
    path = subject.material.text
    assert path is not None
    text = read_evaluated(path)
    running = tokenizer.running_text(text)
    if running.unknown:
        raise DataError(
            f"{running.unknown} tokens of the text are unknown to the model, so the bits that "
            "they stand for cannot be counted",
            where=f"{subject.where}, {path}",
            fix="choose another text, or leave this evaluation out for the model",
        )
    if not running.ids:
        raise DataError("the text is empty", where=str(path), fix="choose another text")
    window = min(subject.material.window, tokenizer.max_tokens)
    stride = min(subject.material.stride, max(1, window // 2))
    windows = cut_windows(running.ids, start, window=window, stride=stride, opens=running.opens)
    return list(windows), len(text.encode()), f"{path.name}, windows of {window} tokens by {stride}"


def _benchmark_windows(
    subject: Subject, tokenizer: Tokenizer, start: int
) -> tuple[list[Window], int, str]:
    texts = subject.benchmark.stimuli.texts
    if texts is None:
        raise DataError("no texts", where=subject.where, fix="use a language data set")
    encodings = tokenizer.encode(texts)
    if any(encoding.truncated for encoding in encodings):
        raise DataError(
            "a held-out text is longer than the model can read",
            where=subject.where,
            fix="leave this evaluation out for the model, or give a text: performance.text",
        )
    rows = [e.ids if e.ids[0] == start else (start, *e.ids) for e in encodings]
    size = sum(len(text.encode("utf-8")) for text in texts)
    return [Window(row, 1) for row in rows], size, f"{len(texts)} held-out sentences"


def _batches(windows: list[Window], size: int) -> Iterator[list[Window]]:
    """Windows of like length together, and few enough for a row of the vocabulary a token."""
    chosen: list[Window] = []
    for window in sorted(windows, key=lambda window: len(window.ids)):
        full = (len(chosen) + 1) * len(window.ids) > _TOKENS or len(chosen) == size
        if chosen and full:
            yield chosen
            chosen = []
        chosen.append(window)
    if chosen:
        yield chosen


def _score(loaded: LoadedModel, windows: Sequence[Window]) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss in nats of each scored token, and whether it was the first guess."""
    import torch
    from torch.nn import functional

    shape = (len(windows), max(len(window.ids) for window in windows))
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    scored = torch.zeros(shape, dtype=torch.bool)
    for index, window in enumerate(windows):
        length = len(window.ids)
        ids[index, :length] = torch.tensor(window.ids)
        mask[index, :length] = 1
        scored[index, window.scored : length] = True
    batch = Batch({"input_ids": ids, "attention_mask": mask}, len(windows)).to(loaded.device)
    output: Any = loaded.forward(batch)
    wanted = scored[:, 1:].to(output.logits.device)
    logits = output.logits[:, :-1][wanted].float()
    target = ids[:, 1:].to(wanted.device)[wanted]
    losses = functional.cross_entropy(logits, target, reduction="none")
    return losses, logits.argmax(dim=-1) == target


def _start(loaded: LoadedModel, subject: Subject) -> int:
    config: Any = loaded.module.config
    for name in ("bos_token_id", "eos_token_id"):
        token = getattr(config, name, None)
        token = token[0] if isinstance(token, list) and token else token
        if isinstance(token, int):
            return token
    raise ModelError(
        "the model has no start token, so the first token of a text cannot be predicted",
        where=subject.where,
        fix="leave this evaluation out for the model",
    )
