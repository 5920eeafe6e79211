"""Which modules of a language network are its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convergent.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

# Embeddings, the list of blocks, and the norm after the last block ('' where a block ends with
# its own). Embeddings are what the network itself calls so: with positions in encoders, tokens
# alone in decoders, where positions come later or are added without a module.
_LLAMA = ("embed_tokens", "layers", "norm")
_GPT2 = ("wte", "h", "ln_f")
_BERT = ("embeddings", "encoder.layer", "")
_T5 = ("encoder.embed_tokens", "encoder.block", "encoder.final_layer_norm")
_PLACES: dict[str, tuple[str, str, str]] = {
    "bert": _BERT,
    "bloom": ("word_embeddings", "h", "ln_f"),
    "cohere": _LLAMA,
    "deberta": _BERT,
    "deberta-v2": _BERT,
    "distilbert": ("embeddings", "transformer.layer", ""),
    "electra": _BERT,
    "falcon": ("word_embeddings", "h", "ln_f"),
    "gemma": _LLAMA,
    "gemma2": _LLAMA,
    "gemma3_text": _LLAMA,
    "glm": _LLAMA,
    "gpt2": _GPT2,
    "gpt_neo": _GPT2,
    "gpt_neox": ("embed_in", "layers", "final_layer_norm"),
    "gptj": _GPT2,
    "granite": _LLAMA,
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "modernbert": ("embeddings", "layers", "final_norm"),
    "mpnet": _BERT,
    "mpt": ("wte", "blocks", "norm_f"),
    "mt5": _T5,
    "olmo": _LLAMA,
    "olmo2": _LLAMA,
    "opt": ("decoder.embed_tokens", "decoder.layers", "decoder.final_layer_norm"),
    "phi": ("embed_tokens", "layers", "final_layernorm"),
    "phi3": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "roberta": _BERT,
    "smollm3": _LLAMA,
    "stablelm": _LLAMA,
    "t5": _T5,
    "xlm-roberta": _BERT,
}
_BIDIRECTIONAL = frozenset(
    {"bert", "deberta", "deberta-v2", "distilbert", "electra", "modernbert", "mpnet", "mt5",
     "roberta", "t5", "xlm-roberta"}
)  # fmt: skip


def is_causal(model_type: str) -> bool:
    """Whether tokens of this kind of network see only those before them.

    Kinds that are not known here count as causal: most of what is published is.
    """
    return model_type not in _BIDIRECTIONAL


def layer_paths(module: nn.Module) -> list[str]:
    """Module paths of a network's layers: embeddings, every block, the final norm.

    Raises
    ------
    ModelError
        The kind of network is not known here, or lacks a module that its kind has.
    """
    config: Any = module.config
    embeddings, blocks, norm = _places(config.model_type)
    known = dict(module.named_modules(remove_duplicate=False))
    found = [embeddings, *(f"{blocks}.{index}" for index in range(_number(known.get(blocks))))]
    # OPT-350m normalises after each block, and has no norm at the end.
    if norm and known.get(norm) is not None:
        found.append(norm)
    missing = [path for path in found if path not in known]
    if missing or len(found) < 2:
        raise ModelError(
            f"a network of kind '{config.model_type}' without '{(missing or [blocks])[0]}'",
            fix="transformers has renamed its modules: correct the places of this kind",
        )
    return found


def _number(blocks: Any) -> int:
    return 0 if blocks is None else len(blocks)


def _places(model_type: str) -> tuple[str, str, str]:
    if model_type not in _PLACES:
        raise ModelError(
            f"layers of '{model_type}' are not known", fix=did_you_mean(model_type, _PLACES)
        )
    return _PLACES[model_type]
