"""Evaluations of causal language models by their predictions of held-out text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from convergent.errors import DataError, ModelError
from convergent.evaluation._registry import Subject, register_evaluation
from convergent.study._types import Model

if TYPE_CHECKING:
    import torch


def is_causal_lm(model: Model) -> bool:
    """Whether a model predicts the next token."""
    return (
        model.modality == "language"
        and model.source == "transformers"
        and model.attention == "causal"
        and "gguf" not in model.preprocessing
    )


@register_evaluation("bits_per_byte", is_causal_lm)
def bits_per_byte(subject: Subject) -> tuple[float, str]:
    """Bits a byte of UTF-8: comparable between models with other tokenizers; lower is better."""
    nats, _, _ = _predict(subject)
    size = sum(len(text.encode("utf-8")) for text in _texts(subject))
    return nats / size / math.log(2), _source(subject, f"{size} bytes")


@register_evaluation("next_token_accuracy", is_causal_lm)
def next_token_accuracy(subject: Subject) -> tuple[float, str]:
    """Share of tokens that are the model's first guess."""
    _, correct, tokens = _predict(subject)
    return correct / tokens, _source(subject, f"{tokens} tokens")


def _predict(subject: Subject) -> tuple[float, int, int]:
    """Total negative log probability (nats), tokens guessed right, tokens.

    Every token of a text counts, the first given a start token.
    """
    import torch
    from torch.nn import functional

    if subject.loaded.text is None:
        raise ModelError("no tokenizer", where=subject.where, fix="correct the modality column")
    network = _network(subject).to(subject.loaded.device).eval()
    start = _start(network, subject)
    # Texts of like length together: padding is computed for nothing.
    encodings = sorted(subject.loaded.text.encode(_texts(subject)), key=lambda e: len(e.ids))
    if any(encoding.truncated for encoding in encodings):
        raise DataError(
            "a held-out text is longer than the model can read",
            where=subject.where,
            fix="leave this evaluation out for the model",
        )
    nats, correct, tokens = 0.0, 0, 0
    for first in range(0, len(encodings), subject.batch_size):
        chosen = encodings[first : first + subject.batch_size]
        rows = [e.ids if e.ids[0] == start else (start, *e.ids) for e in chosen]
        ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = 1
        ids, mask = ids.to(subject.loaded.device), mask.to(subject.loaded.device)
        with torch.inference_mode():
            logits: torch.Tensor = network(input_ids=ids, attention_mask=mask).logits[:, :-1]
        target, real = ids[:, 1:], mask[:, 1:].bool()
        losses = functional.cross_entropy(
            logits.float().flatten(0, 1), target.flatten(), reduction="none"
        ).view(target.shape)
        nats += float(losses[real].double().sum())
        correct += int((logits.argmax(dim=-1) == target)[real].sum())
        tokens += int(real.sum())
    return nats, correct, tokens


def _network(subject: Subject) -> Any:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    directory = subject.manifest.directory
    if subject.checkpoint.role == "random":
        config = AutoConfig.from_pretrained(directory, local_files_only=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(subject.checkpoint.seed or 0)
            return AutoModelForCausalLM.from_config(config)
    return AutoModelForCausalLM.from_pretrained(
        directory, local_files_only=True, trust_remote_code=False, dtype=torch.float32
    )


def _start(network: Any, subject: Subject) -> int:
    for name in ("bos_token_id", "eos_token_id"):
        token = getattr(network.config, name, None)
        if isinstance(token, int):
            return token
    raise ModelError(
        "the model has no start token, so the first token of a text cannot be predicted",
        where=subject.where,
        fix="leave this evaluation out for the model",
    )


def _texts(subject: Subject) -> tuple[str, ...]:
    texts = subject.benchmark.stimuli.texts
    if texts is None:
        raise DataError("no texts", where=subject.where, fix="use a language data set")
    return texts


def _source(subject: Subject, size: str) -> str:
    return f"measured: {len(subject.benchmark.stimuli)} held-out sentences, {size}"
