"""Small networks with random weights, saved in the layouts that hubs use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convergent.brains.types import StimulusSet
from convergent.models import LoadedModel, load, make_manifest
from convergent.study.types import Checkpoint, Layer, Model

SENTENCES = (
    "the cat sat on the mat",
    "a dog",
    "alice was beginning to get very tired of sitting by her sister on the bank",
    "she looked at the book",
    "and of having nothing to do",
    "once",
    "the rabbit ran close by her and took a watch out of its pocket",
)
STORY = tuple(" ".join(SENTENCES * 2).split())


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Model]:
    def make(layers: dict[str, int], **columns: Any) -> Model:
        trained = Checkpoint("final", "trained", None, "", "", None, True)
        random = Checkpoint("random-0", "random", None, "", "", 0, False)
        row: dict[str, Any] = {
            "key": "tiny",
            "family": "tiny",
            "modality": "language",
            "source": "transformers",
            "reference": "",
            "architecture": "",
            "revision": "",
            "parameters": 1,
            "layout": "tokens",
            "pooling": "mean",
            "precision": "float32",
            "preprocessing": {},
            "attention": "",
            "tags": (),
            "checkpoints": (trained, random),
        }
        listed = tuple(
            Layer(name, index, 0.0, width) for index, (name, width) in enumerate(layers.items())
        )
        return Model(layers=listed, **(row | columns))

    return make


@pytest.fixture(scope="session")
def open_model() -> Callable[..., LoadedModel]:
    def opened(model: Model, which: int = 0, **arguments: Any) -> LoadedModel:
        checkpoint = model.checkpoints[which]
        loaded = load(model, checkpoint, make_manifest(model, checkpoint), **arguments)
        assert isinstance(loaded, LoadedModel)
        return loaded

    return opened


@pytest.fixture(scope="session")
def sentences() -> StimulusSet:
    ids = np.array([f"s{index}" for index in range(len(SENTENCES))])
    return StimulusSet("sentences", "language", "items", ids, texts=SENTENCES)


@pytest.fixture(scope="session")
def story() -> StimulusSet:
    ids = np.array([f"w{index:03d}" for index in range(len(STORY))])
    return StimulusSet("tale", "language", "story", ids, texts=STORY)


@pytest.fixture(scope="session")
def scenes() -> StimulusSet:
    images = np.random.default_rng(0).integers(0, 256, (5, 40, 48, 3), dtype=np.uint8)
    ids = np.array([f"i{index}" for index in range(len(images))])
    return StimulusSet("scenes", "vision", "items", ids, images=images)


def _tokenizer(kind: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if kind == "wordpiece":
        core = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        trainer: Any = trainers.WordPieceTrainer(
            vocab_size=90, special_tokens=special, show_progress=False
        )
        core.train_from_iterator(SENTENCES, trainer)
        core.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
        names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    else:
        core = Tokenizer(models.BPE())
        core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        core.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=300,
            special_tokens=["<|end|>"],
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
        core.train_from_iterator(SENTENCES, trainer)
        names = {"bos_token": "<|end|>", "eos_token": "<|end|>"}
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=64, **names)


_SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
_POSITIONS = {"max_position_embeddings": 64}


def _config(kind: str) -> Any:
    import transformers as t

    if kind == "bert":
        return t.BertConfig(vocab_size=120, **_SMALL, **_POSITIONS)
    if kind == "gpt2":
        return t.GPT2Config(vocab_size=300, n_embd=16, n_layer=3, n_head=2, n_positions=64)
    if kind == "gpt_neox":
        return t.GPTNeoXConfig(vocab_size=300, **_SMALL, **_POSITIONS)
    if kind == "llama":
        return t.LlamaConfig(vocab_size=300, num_key_value_heads=1, **_SMALL, **_POSITIONS)
    if kind == "t5":
        return t.T5Config(
            vocab_size=300,
            d_model=16,
            d_kv=8,
            d_ff=24,
            num_layers=3,
            num_heads=2,
            decoder_start_token_id=0,
        )
    if kind == "vit":
        return t.ViTConfig(image_size=32, patch_size=8, **_SMALL)
    return t.CLIPConfig(
        text_config={"vocab_size": 300, "eos_token_id": 0, **_SMALL, **_POSITIONS},
        vision_config={"image_size": 32, "patch_size": 8, **_SMALL},
        projection_dim=12,
    )


@pytest.fixture(scope="session")
def hub_layout(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Directory of a small model of transformers: bert, gpt2, gpt_neox, llama, t5, vit or clip."""
    made: dict[str, Path] = {}

    def get(kind: str) -> Path:
        if kind not in made:
            import torch
            from transformers import AutoModel

            directory = tmp_path_factory.mktemp(kind)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(1)
                network = AutoModel.from_config(_config(kind))
                for parameter in network.parameters():  # larger than usual: layers must differ
                    if parameter.ndim > 1:
                        torch.nn.init.normal_(parameter, std=0.3)
            network.save_pretrained(directory)
            if kind != "vit":
                _tokenizer("wordpiece" if kind == "bert" else "bytes").save_pretrained(directory)
            if kind in ("vit", "clip"):
                processor = {
                    "image_processor_type": "ViTImageProcessor",
                    "size": {"height": 32, "width": 32},
                    "image_mean": [0.5, 0.5, 0.5],
                    "image_std": [0.5, 0.5, 0.5],
                }
                (directory / "preprocessor_config.json").write_text(json.dumps(processor))
            made[kind] = directory
        return made[kind]

    return get
