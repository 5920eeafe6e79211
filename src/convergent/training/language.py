"""Recipes for language: small causal language models of sentences with their topic."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from convergent.brains.simulated import TOPICS, topic_sentences
from convergent.sections import Real, Whole
from convergent.study.types import Model
from convergent.training.recipe import TrainingOptions
from convergent.training.train import last_width

if TYPE_CHECKING:
    import torch


_END = "<|end|>"
_POSITIONS = 128  # tokens that the networks can read
_HEAD = 16  # units of an attention head
_WINDOW = 32  # batches that a batch's neighbours would fill
_IGNORED = -100  # label of padding


class LanguageOptions(TrainingOptions):
    """Options of the language recipes.

    Attributes
    ----------
    vocabulary : int
        Tokens of the byte-level BPE that is trained on the same sentences.
    length : int
        Tokens of a sentence that are read in training.
    depth : int
        Blocks.
    topic_weight : float
        Weight of the loss on the topic token against the mean loss on the sentence's tokens.
    """

    batch_size: Annotated[Whole, Field(ge=2)] = 32
    weight_decay: Annotated[Real, Field(ge=0)] = 0.01
    vocabulary: Annotated[Whole, Field(ge=300)] = 1024
    length: Annotated[Whole, Field(ge=8, le=_POSITIONS - 2)] = 46
    depth: Annotated[Whole, Field(ge=1)] = 3
    topic_weight: Annotated[Real, Field(ge=0)] = 1.0


@dataclass
class SentenceRun:
    """A causal language model and its training sentences.

    A training text is a sentence followed by one token that names its topic, as documents have
    titles. Next-word prediction alone teaches networks of this size, in these few seconds, next to
    nothing about topics (a probe finds no more than in random weights); the topic token is what
    makes the topic worth representing. Sentences are read without it when features are extracted
    and when performance is measured.
    """

    make: Any
    options: LanguageOptions
    device: str
    module: torch.nn.Module = field(init=False)
    facts: dict[str, object] = field(init=False)

    def __post_init__(self) -> None:
        sentences = topic_sentences("train")
        assert sentences.texts is not None
        self._tokenizer = bpe(sentences.texts, self.options.vocabulary)
        coded = self._tokenizer.encode_batch(list(sentences.texts), add_special_tokens=False)
        topics = [self._tokenizer.token_to_id(topic_token(topic)) for topic in TOPICS]
        start = self._tokenizer.token_to_id(_END)
        rows = [
            [start, *code.ids[: self.options.length], topics[label]]
            for code, label in zip(coded, sentences.labels.tolist(), strict=True)
        ]
        # A batch is drawn from neighbours in this order: sentences of about one length.
        self._rows = sorted(rows, key=len)
        self.module = self.make(self._tokenizer.get_vocab_size())
        self.facts = {
            "sentences": len(self._rows),
            "characters": sum(map(len, sentences.texts)),
            "vocabulary": self._tokenizer.get_vocab_size(),
        }

    def loss(self, generator: torch.Generator) -> torch.Tensor:
        """Mean next-token loss over the sentences, plus that of the topic token."""
        import torch
        from torch.nn import functional

        size = self.options.batch_size
        window = min(_WINDOW * size, len(self._rows))
        start = torch.randint(len(self._rows) - window + 1, (), generator=generator)
        chosen = start + torch.randint(window, (size,), generator=generator)
        rows = [self._rows[index] for index in chosen.tolist()]
        ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
        labels = torch.full_like(ids, _IGNORED)
        topic = torch.zeros_like(ids, dtype=torch.bool)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = labels[index, : len(row)] = torch.tensor(row)
            topic[index, len(row) - 1] = True
        ids, target = ids.to(self.device), labels[:, 1:].flatten().to(self.device)
        is_topic = topic[:, 1:].flatten().to(self.device)
        logits = self.module(input_ids=ids).logits[:, :-1].flatten(0, 1)
        losses = functional.cross_entropy(logits, target, ignore_index=_IGNORED, reduction="none")
        words = losses[(target != _IGNORED) & ~is_topic].mean()
        return words + self.options.topic_weight * losses[is_topic].mean()

    def save(self, directory: Path) -> None:
        """Write configuration, weights and fast tokenizer as transformers reads them."""
        from transformers import PreTrainedTokenizerFast
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.module.save_pretrained(directory)  # type: ignore[operator]
        PreTrainedTokenizerFast(
            tokenizer_object=self._tokenizer,
            bos_token=_END,
            eos_token=_END,
            pad_token=_END,
            model_max_length=_POSITIONS,
        ).save_pretrained(directory)


def topic_token(topic: str) -> str:
    """Token that names a topic."""
    return f"<|{topic}|>"


def bpe(texts: Sequence[str], vocabulary: int) -> Any:
    """Train a byte-level BPE tokenizer, with a token for the end and one for each topic."""
    import os

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_END, *map(topic_token, TOPICS)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class _Topics(ABC):
    """A causal language model with heads of 16 units and an output embedding of its own."""

    options: type[TrainingOptions] = LanguageOptions

    def start(self, model: Model, options: TrainingOptions, device: str) -> SentenceRun:
        """Build it; the last layer's width is that of all blocks."""
        assert isinstance(options, LanguageOptions)
        make = partial(self.network, last_width(model, _HEAD), options.depth)
        return SentenceRun(make, options, device)

    @abstractmethod
    def network(self, width: int, depth: int, vocabulary: int) -> Any:
        """Make the network, with random weights."""


class TopicsGpt(_Topics):
    """GPT-2."""

    def network(self, width: int, depth: int, vocabulary: int) -> Any:
        """Make the network, with random weights."""
        from transformers import GPT2Config, GPT2LMHeadModel

        config = GPT2Config(
            vocab_size=vocabulary,
            n_positions=_POSITIONS,
            n_embd=width,
            n_layer=depth,
            n_head=width // _HEAD,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=0,
            eos_token_id=0,
            tie_word_embeddings=False,
        )
        return GPT2LMHeadModel(config)


class TopicsLlama(_Topics):
    """Llama."""

    def network(self, width: int, depth: int, vocabulary: int) -> Any:
        """Make the network, with random weights."""
        from transformers import LlamaConfig, LlamaForCausalLM

        config = LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=2 * width,
            num_hidden_layers=depth,
            num_attention_heads=width // _HEAD,
            max_position_embeddings=_POSITIONS,
            bos_token_id=0,
            eos_token_id=0,
            pad_token_id=0,
            tie_word_embeddings=False,
        )
        return LlamaForCausalLM(config)


class TopicsNeoX(_Topics):
    """GPT-NeoX: attention and perceptron side by side."""

    def network(self, width: int, depth: int, vocabulary: int) -> Any:
        """Make the network, with random weights."""
        from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

        config = GPTNeoXConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=depth,
            num_attention_heads=width // _HEAD,
            max_position_embeddings=_POSITIONS,
            bos_token_id=0,
            eos_token_id=0,
            tie_word_embeddings=False,
        )
        return GPTNeoXForCausalLM(config)
