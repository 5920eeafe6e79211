"""Language models, vision models and dual encoders of transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import ModelError, WeightsError
from convergent.models._images import image_transform
from convergent.models._loaded import LoadedModel
from convergent.models._options import IMAGE_OPTIONS, TOKEN_OPTIONS
from convergent.models._remote import OPTION as REMOTE_CODE
from convergent.models._request import LoadRequest
from convergent.models._tokens import FastTokenizer
from convergent.models._transformers_network import load_network, read

if TYPE_CHECKING:
    import torch


class TransformersSource:
    """A directory in the hub's layout, read with ``AutoModel``: layers are its modules.

    Code that comes with a repository is not run, unless the row says so. Dual encoders
    (CLIP, SigLIP) run the tower of the model's modality; encoder-decoders run their encoder.

    Options: those of images and tokens; ``gguf=<name>`` for a quantised file;
    ``device_map=auto`` spreads a model over the job's GPUs even if one would hold it;
    ``remote_code=<commit>`` runs the code that comes with the weights at that commit, which
    must be the row's revision, and the row's notes must say why.
    """

    options = IMAGE_OPTIONS | TOKEN_OPTIONS | {"gguf", "device_map", REMOTE_CODE}
    weight_names = ("model.safetensors", "pytorch_model.bin")
    config_patterns = (
        "config.json",
        "*.index.json",
        "preprocessor_config.json",
        "tokenizer*",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.*",
        "merges.txt",
        "*.model",
    )

    def hub_id(self, architecture: str, reference: str) -> str:
        """Refuse: transformers has no tags apart from hub ids."""
        raise ModelError(f"transformers has no pretrained tag '{reference}'", fix="give the hub id")

    def load(self, request: LoadRequest, directory: Path | None) -> LoadedModel:
        """Build the network, its tokenizer or its image processor."""
        if directory is None:
            raise WeightsError(
                "transformers models need a directory with config.json",
                where=request.where,
                fix="fill in the reference column",
            )
        with _quiet():
            return _load(request, directory)


@contextmanager
def _quiet() -> Iterator[None]:
    # The report of unused and missing parameters is replaced by a strict check of our own.
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _load(request: LoadRequest, directory: Path) -> LoadedModel:
    gguf = {"gguf_file": request.options.text("gguf")} if "gguf" in request.options else {}
    config = read("AutoConfig", request, directory, **gguf)
    preprocessing: dict[str, object] = {}
    images, text = None, None
    if request.model.modality == "vision":
        images, preprocessing = _images(request, directory)

    def trial(module: Any, device: str) -> Any:
        return _runner(module, config, request)(_smallest(images, device))

    network = load_network(request, directory, config, gguf, trial)
    module = network.module
    if request.model.modality == "language":
        text = _text(request, directory, module, config, gguf)
        preprocessing = {"max_tokens": text.max_tokens}
    return LoadedModel(
        module=module,
        run=_runner(module, config, request),
        device=network.device,
        dtype=request.dtype,
        images=images,
        text=text,
        tuple_outputs=True,
        fresh=network.fresh,
        preprocessing=preprocessing,
        reading=network.reading,
        embed_texts=_embed_texts(request, directory, module, network.device),
    )


def _embed_texts(
    request: LoadRequest, directory: Path, module: Any, device: str
) -> Callable[[Sequence[str]], torch.Tensor] | None:
    """Texts in the space of the images, for the vision tower of a dual encoder."""
    if request.model.modality != "vision" or not hasattr(module, "get_text_features"):
        return None

    def embed(texts: Sequence[str]) -> torch.Tensor:
        import torch

        tokenizer = read("AutoTokenizer", request, directory)
        # SigLIP is trained with texts of the full length, and has no mask
        padding = "max_length" if "siglip" in module.config.model_type else True
        longest = int(module.config.text_config.max_position_embeddings)
        coded = tokenizer(
            list(texts), padding=padding, truncation=True, max_length=longest, return_tensors="pt"
        )
        with torch.inference_mode():
            output = module.get_text_features(**coded.to(device))
        found: torch.Tensor = getattr(output, "pooler_output", output)
        return found

    return embed


def _smallest(images: Callable[[Any], torch.Tensor] | None, device: str) -> dict[str, torch.Tensor]:
    import numpy as np
    import torch

    if images is not None:
        return {"pixels": images(np.zeros((1, 256, 256, 3), np.uint8)).to(device)}
    return {"input_ids": torch.zeros(1, 8, dtype=torch.int64, device=device)}


def _runner(
    module: Any, config: Any, request: LoadRequest
) -> Callable[[dict[str, torch.Tensor]], Any]:
    vision = request.model.modality == "vision"
    call = module
    if request.head:
        return lambda inputs: module(**inputs)
    if hasattr(config, "vision_config") and hasattr(config, "text_config"):
        call = getattr(module, "get_image_features" if vision else "get_text_features", None)
        if call is None:
            raise ModelError(
                f"'{config.model_type}' has no separate {request.model.modality} tower",
                where=request.where,
                fix="use a dual encoder such as CLIP, or the tower's own checkpoint",
            )
    elif getattr(config, "is_encoder_decoder", False):
        call = module.get_encoder()
    if vision:
        return lambda inputs: call(pixel_values=inputs["pixels"])
    return lambda inputs: call(**inputs)


def _images(
    request: LoadRequest, directory: Path
) -> tuple[Callable[[Any], torch.Tensor], dict[str, object]]:
    if any(key in request.options for key in IMAGE_OPTIONS):
        transform = image_transform(request.options)
        return transform, transform.describe()
    processor = read("AutoImageProcessor", request, directory)

    def process(images: Any) -> torch.Tensor:
        done = processor(
            images=list(images), return_tensors="pt", input_data_format="channels_last"
        )
        pixels: torch.Tensor = done["pixel_values"].float()
        return pixels

    return process, {"processor": processor.to_dict()}


def _text(
    request: LoadRequest, directory: Path, module: Any, config: Any, gguf: dict[str, str]
) -> FastTokenizer:
    tokenizer = read("AutoTokenizer", request, directory, use_fast=True, **gguf)
    limit = request.options.integer("max_length", _longest(tokenizer, module, config))
    return FastTokenizer(tokenizer, limit, _opening(request, tokenizer), request.where)


def _longest(tokenizer: Any, module: Any, config: Any) -> int:
    """Longest input, from the tokenizer, the configuration and the position table."""
    text = getattr(config, "text_config", config)
    positions = getattr(text, "max_position_embeddings", None) or getattr(text, "n_positions", None)
    limits = [int(tokenizer.model_max_length)] + ([int(positions)] if positions else [])
    table = getattr(getattr(module, "embeddings", None), "position_embeddings", None)
    offset = getattr(table, "padding_idx", None)
    if positions and offset is not None:  # RoBERTa counts positions from padding_idx + 1
        limits.append(int(positions) - offset - 1)
    return min(limits)


def _opening(request: LoadRequest, tokenizer: Any) -> int | None:
    """Token to put first, if the row leaves out the first token and the tokenizer adds none.

    Decoders park attention on whatever comes first, with activations a hundred times the
    usual size: that must be a token of its own, not a word of the stimulus.
    """
    if not request.options.flag("skip_first_token"):
        return None
    if tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"][0]:
        return None
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ModelError(
        "skip_first_token=yes, but the tokenizer has no token to put first",
        where=request.where,
        fix="remove the option",
    )
