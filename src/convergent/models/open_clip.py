"""Image and text towers of open_clip."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import ModelError, UnknownKeyError, WeightsError, did_you_mean
from convergent.models.images import ImageTransform, image_transform, resize_named, square
from convergent.models.place import build, freeze
from convergent.models.source import (
    IMAGE_OPTIONS,
    PASS_OPTIONS,
    TOKEN_OPTIONS,
    Batch,
    Encoding,
    LoadedModel,
    LoadRequest,
)
from convergent.models.state import Reading, fill, open_state
from convergent.models.tokens import pad

if TYPE_CHECKING:
    import torch


class OpenClipSource:
    """A directory with ``open_clip_config.json``, or an architecture and a weights file.

    The model's modality chooses the tower; layers are modules of the whole model
    (``visual.transformer.resblocks.3``, ``transformer.resblocks.3``).

    Options: those of images and tokens; ``file=<name>`` of the weights.
    """

    options = IMAGE_OPTIONS | TOKEN_OPTIONS | PASS_OPTIONS | {"file"}
    weight_names = (
        "open_clip_model.safetensors",
        "model.safetensors",
        "open_clip_pytorch_model.bin",
        "pytorch_model.bin",
    )
    config_patterns = ("open_clip_config.json",)

    def hub_id(self, architecture: str, reference: str) -> str:
        """Hub repository behind a pretrained tag of an architecture."""
        from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

        entry = get_pretrained_cfg(architecture, reference)
        hub = str((entry or {}).get("hf_hub", "")).strip("/")
        if not hub:
            raise WeightsError(
                f"open_clip has no hub weights '{reference}' for '{architecture}'",
                fix=did_you_mean(reference, list_pretrained_tags_by_model(architecture)),
            )
        return hub

    def load(self, request: LoadRequest, directory: Path | None) -> LoadedModel:
        """Build both towers and run the one of the model's modality."""
        settings, images = _settings(request, directory)
        module, reading = _network(request, directory, settings, images)
        if request.model.modality == "vision":
            transform = image_transform(request.options, images)
            return LoadedModel(
                module=module,
                run=lambda inputs: module.encode_image(inputs["pixels"]),
                device=request.device,
                dtype=request.dtype,
                images=transform,
                preprocessing=transform.describe(),
                reading=reading,
                embed_texts=_embed_texts(module, settings, request),
            )
        text = _ClipTokenizer(settings["text_cfg"], request)
        return LoadedModel(
            module=module,
            run=lambda inputs: module.encode_text(inputs["text"]),
            device=request.device,
            dtype=request.dtype,
            text=text,
            preprocessing={"max_tokens": text.max_tokens},
            reading=reading,
        )


def _embed_texts(
    module: Any, settings: dict[str, Any], request: LoadRequest
) -> Callable[[Sequence[str]], torch.Tensor] | None:
    if _foreign_tokenizer(settings["text_cfg"]):
        return None

    def embed(texts: Sequence[str]) -> torch.Tensor:
        import torch

        tokenizer = _ClipTokenizer(settings["text_cfg"], request)
        batch = tokenizer.collate(tokenizer.encode(texts)).to(request.device)
        with torch.inference_mode():
            found: torch.Tensor = module.encode_text(batch.inputs["text"])
        return found

    return embed


def _foreign_tokenizer(text: dict[str, Any]) -> bool:
    return "hf_tokenizer_name" in text or "hf_model_name" in text


class _ClipTokenizer:
    """CLIP's own byte-pair tokenizer, word by word: it never merges across blanks."""

    def __init__(self, text: dict[str, Any], request: LoadRequest) -> None:
        from open_clip.tokenizer import SimpleTokenizer

        if _foreign_tokenizer(text):
            raise ModelError(
                "text towers with a tokenizer of transformers are not read through open_clip",
                where=request.where,
                fix="use the checkpoint's transformers version with source transformers",
            )
        self._tokenizer = SimpleTokenizer(**text.get("tokenizer_kwargs", {}))
        self._length = int(text.get("context_length", 77))
        self.max_tokens = request.options.integer("max_length", self._length)

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        return self.encode_words([[text] for text in texts])

    def encode_words(self, windows: Sequence[Sequence[str]]) -> list[Encoding]:
        return [self._encode(words) for words in windows]

    def _encode(self, words: Sequence[str]) -> Encoding:
        pairs = [
            (token, index)
            for index, word in enumerate(words)
            for token in self._tokenizer.encode(word)
        ]
        room = self.max_tokens - 2
        kept = pairs[:room]
        first, last = self._tokenizer.sot_token_id, self._tokenizer.eot_token_id
        return Encoding(
            ids=(first, *(token for token, _ in kept), last),
            word=(-1, *(index for _, index in kept), -1),
            truncated=len(pairs) > room,
        )

    def collate(self, encodings: Sequence[Encoding]) -> Batch:
        # CLIP is trained with, and some versions insist on, inputs of the full length.
        ids, mask = pad(encodings, self._length)
        return Batch({"text": ids}, len(encodings), mask)


def _settings(
    request: LoadRequest, directory: Path | None
) -> tuple[dict[str, Any], ImageTransform]:
    import open_clip
    from open_clip.transform import PreprocessCfg

    preprocess: dict[str, Any] = {}
    name = request.model.architecture
    file = directory / "open_clip_config.json" if directory else None
    if file is not None and file.is_file():
        content = json.loads(file.read_text())
        settings, preprocess = content["model_cfg"], content.get("preprocess_cfg", {})
    else:
        settings = open_clip.get_model_config(name)
        if settings is None:
            raise UnknownKeyError(
                f"open_clip has no architecture '{name}'",
                where=request.where,
                fix=did_you_mean(name, open_clip.list_models()),
            )
    # values that open_clip leaves empty are its defaults
    own = asdict(PreprocessCfg()) | {k: v for k, v in preprocess.items() if v is not None}
    mode, fill = own["resize_mode"], own["fill_color"]
    return settings, ImageTransform(
        size=square(settings["vision_cfg"].get("image_size", 224)),
        crop=1.0,
        mean=_three(own["mean"]),
        std=_three(own["std"]),
        # open_clip itself takes bicubic for every other word, such as random
        interpolation="bilinear" if own["interpolation"] == "bilinear" else "bicubic",
        resize=resize_named(mode, RESIZE_OF),
        fill=_three(fill) if mode == "longest" else (0, 0, 0),
    )


# open_clip's names of what is done with images that are not square
RESIZE_OF = {"shortest": "crop", "squash": "squash", "longest": "longest"}


def _three(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3


def _network(
    request: LoadRequest, directory: Path | None, settings: dict[str, Any], images: ImageTransform
) -> tuple[Any, Reading]:
    def make() -> torch.nn.Module:
        return build(lambda: _create(settings, request), request.seed)

    def run(module: Any, device: str) -> Any:
        import torch

        if request.model.modality == "vision":
            size = image_transform(request.options, images).size
            return module.encode_image(torch.zeros(1, 3, size, size, device=device))
        length = int(settings["text_cfg"].get("context_length", 77))
        return module.encode_text(torch.zeros(1, length, dtype=torch.int64, device=device))

    if request.seed is not None or directory is None:
        return freeze(make(), request.device, request.dtype), Reading()
    state = open_state([directory / name for name in request.weight_files], request.where)
    module, reading = fill(make, state, _converted, run, request.layers, request.where)
    return freeze(module, request.device, request.dtype), reading


def _create(settings: dict[str, Any], request: LoadRequest) -> torch.nn.Module:
    from open_clip.coca_model import CoCa
    from open_clip.model import CLIP, CustomTextCLIP

    arguments = deepcopy(settings)
    custom = arguments.pop("custom_text", False)
    if "hf_model_name" in arguments["text_cfg"]:
        # The text tower's configuration alone would be fetched from the hub, unpinned.
        raise ModelError(
            "text towers of transformers are not read through open_clip",
            where=request.where,
            fix="use the checkpoint's transformers version with source transformers",
        )
    if "timm_model_name" in arguments["vision_cfg"]:
        arguments["vision_cfg"]["timm_model_pretrained"] = False
    kind = (CoCa if "multimodal_cfg" in arguments else CustomTextCLIP) if custom else CLIP
    try:
        module: torch.nn.Module = kind(**arguments)
    # Constructors check their arguments each in its own way, or by running into them.
    except Exception as error:
        raise ModelError(
            f"open_clip cannot build it ({error})",
            where=request.where,
            fix="check open_clip_config.json or the architecture column",
        ) from error
    return module


def _converted(module: torch.nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict

    state = {name.removeprefix("module."): value for name, value in state.items()}
    state = dict(convert_state_dict(module, state))
    own = module.state_dict()
    if "positional_embedding" in state and "text.positional_embedding" in own:
        state = dict(convert_to_custom_text_state_dict(state))
    for name in ("logit_bias", "text.transformer.embeddings.position_ids"):
        # Buffers that older versions saved and no tower reads.
        if name in state and name not in own:
            del state[name]
    return state
