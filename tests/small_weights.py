"""Small checkpoints of real architectures, written to disk, and how a layer of one is read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "vocab_size": 99,
    "intermediate_size": 48, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
FEW = {**SMALL, "num_key_value_heads": 1}
WIDE = {**FEW, "head_dim": 16}
LANGUAGE = {
    "Bert": (SMALL, "encoder.layer.1"),
    "Roberta": ({**SMALL, "max_position_embeddings": 64}, "encoder.layer.1"),
    "GPT2": (
        {"n_embd": 32, "n_layer": 4, "n_head": 2, "vocab_size": 99, "bos_token_id": 1,
         "eos_token_id": 2},
        "h.1",
    ),
    "GPTNeoX": (SMALL, "layers.1"),
    "Llama": (FEW, "layers.1"),
    "Mistral": (FEW, "layers.1"),
    "Qwen3": (WIDE, "layers.1"),
    "Gemma": (WIDE, "layers.1"),
    "Gemma2": (WIDE, "layers.1"),
    "Olmo2": (FEW, "layers.1"),
    "Phi": (SMALL, "layers.1"),
    "Phi3": (FEW, "layers.1"),
    "ModernBert": ({**SMALL, "cls_token_id": 1, "sep_token_id": 2}, "layers.1"),
    "OPT": (
        {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "vocab_size": 99,
         "ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 64},
        "decoder.layers.1",
    ),
    "T5": (
        {"d_model": 32, "num_layers": 4, "num_heads": 2, "d_kv": 16, "d_ff": 48,
         "vocab_size": 99},
        "encoder.block.1",
    ),
}  # fmt: skip


def config_of(name):
    return getattr(transformers, f"{name}Config")(**LANGUAGE[name][0])


def add_tokenizer(place):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "mat", "sat"]
    (place / "vocab.txt").write_text("\n".join(words))
    vocabulary = dict(zip(words, range(8), strict=True))
    transformers.BertTokenizerFast(vocab=vocabulary).save_pretrained(place)


def save_language(name, place, **options):
    torch.manual_seed(3)
    model = transformers.AutoModel.from_config(config_of(name))
    with torch.no_grad():  # away from initial values, so that a missing weight shows
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    model.save_pretrained(place, **options)
    add_tokenizer(place)


def read_layer(loaded, layer, inputs):
    seen = {}
    module = dict(loaded.module.named_modules())[layer]

    class Stop(Exception):
        pass

    def keep(_module, _arguments, output):
        seen["output"] = output[0] if isinstance(output, tuple) else output
        raise Stop

    handle = module.register_forward_hook(keep)
    try:
        with pytest.raises(Stop):
            loaded.forward(inputs(loaded))
    finally:
        handle.remove()
    return seen["output"]


def text(loaded):
    return loaded.prepare(loaded.text.encode(["cat mat sat cat", "mat"]))


def pixels(loaded):
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3), dtype=np.uint8)
    return loaded.prepare(images)


def language_row(make_model, place, **columns):
    row = {"source": "transformers", "modality": "language", "layout": "tokens"}
    return make_model(**row, reference=f"path:{place}", **columns)
