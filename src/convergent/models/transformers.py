"""Language models, vision models and dual encoders of transformers."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import DeviceError, LayerError, ModelError, WeightsError
from convergent.models.images import image_transform
from convergent.models.manifest import check_index, choose_weights
from convergent.models.place import DeviceMap, build, device_map, freeze
from convergent.models.source import (
    IMAGE_OPTIONS,
    PASS_OPTIONS,
    TOKEN_OPTIONS,
    LoadedModel,
    LoadRequest,
)
from convergent.models.state import LazyState, Reading, needed, open_state, prune
from convergent.models.tokens import FastTokenizer, chat_frame, check_tokens
from convergent.models.weights import OPTION as REMOTE_CODE
from convergent.models.weights import runs_remote_code

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


# Wrong shapes are reported with missing parameters, and refused by name.
INFORM: dict[str, Any] = {"output_loading_info": True, "ignore_mismatched_sizes": True}


def load_partly(
    request: LoadRequest,
    state: LazyState,
    config: Any,
    kind: type,
    wanted: frozenset[str],
    places: DeviceMap | None,
) -> tuple[Any, dict[str, Any], Reading]:
    """Load with transformers' own renaming and conversion, into a network without the rest.

    Parameters
    ----------
    request : LoadRequest
    state : LazyState
    config : PretrainedConfig
    kind : type
        Class of the network.
    wanted : frozenset of str
        Tensors that are needed.
    places : dict or None
        As `convergent.models.place.device_map` gives it.

    Returns
    -------
    module : torch.nn.Module
    info : dict
        What transformers says about missing parameters.
    reading : Reading
    """
    placement = {} if places is None else {"device_map": places}
    try:
        module, info = _pruned(kind, wanted).from_pretrained(
            None,
            config=config,
            state_dict=state,
            dtype=dtype_of(request),
            **INFORM,
            **placement,
        )
    # Readers of safetensors and pickles raise their own kinds.
    except Exception as error:
        what = f"transformers cannot load part of {', '.join(request.weight_files)}"
        raise unreadable(what, error, request.where) from error
    return module, info, Reading(state.bytes_read, state.total)


# Masks, positions and counters that constructors compute, which some checkpoints hold too.
_COMPUTED = re.compile(
    r"(^|\.)(position_ids|token_type_ids|(original_)?inv_freq|masked_bias|num_batches_tracked|"
    r"relative_position_index|(cos|sin)(_cached)?)$"
)
_CAUSAL_MASK = re.compile(r"\.(attn|attention|self_attn|attn\.attention)\.bias$")
# Where a checkpoint has no prefix for the network, the names of parts that follow it.
_HEADS = re.compile(
    r"^\w*(head|classif|score|predict|logits|proj|pooler|embed_out)|^(cls|vocab_|lm_|decoder|mtp)"
)


def check_places(
    module: Any, unplaced: Iterable[str], shapes: Mapping[str, tuple[int, ...]], where: str
) -> None:
    """Refuse weights that belong inside the network and that it has no place for.

    Their loss is not seen in the features: biases under ``attention_bias: false``, norms of
    another architecture, layers beyond those of the configuration, adapters that were not merged.
    Left out without harm are the heads of other tasks, which stand outside the network, what
    constructors compute, and what transformers' own list of the architecture says.

    Parameters
    ----------
    module : PreTrainedModel
    unplaced : iterable of str
        Names in the files that transformers has found no parameter for.
    shapes : mapping of str to tuple of int
        Of the tensors of the files, as far as known.
    where : str

    Raises
    ------
    WeightsError
        Naming the first.
    """
    prefix = f"{module.base_model_prefix}."
    parts = {name for name, _ in module.named_children()}
    headed = any(name.startswith(prefix) for name in shapes)

    def harmless(name: str) -> bool:
        shape = shapes.get(name, ())
        mask = len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3]
        if _COMPUTED.search(name) or (mask and _CAUSAL_MASK.search(name)):
            return True
        if "lora_" in name or name.startswith(prefix) or name.partition(".")[0] in parts:
            return False
        return headed or _HEADS.search(name) is not None

    lost = sorted(name for name in unplaced if not harmless(name))
    if lost:
        raise WeightsError(
            f"{len(lost)} parameters of the weights have no place in the network that config.json "
            f"describes (first: {lost[0]})",
            where=where,
            fix="check that weights and config.json are of one model, its number of layers and "
            "biases as well; merge adapters into the weights",
        )


@dataclass(frozen=True, slots=True)
class _Names:
    """Names of a checkpoint without a parameter in the whole network, and the other way round."""

    unplaced: tuple[str, ...]
    untrained: tuple[str, ...]


def _match(kind: Any, config: Any, state: LazyState) -> _Names | str:
    """Match the names of the files with those of the network, without data; or say why not."""
    placeholders = {name: tensor.placeholder() for name, tensor in state.items()}
    try:
        _, info = kind.from_pretrained(
            None, config=config, state_dict=placeholders, device_map={"": "meta"}, **INFORM
        )
    # Conversions that look at values fail each in its own way.
    except Exception as error:
        return f"the names of the weights can't be matched without data ({type(error).__name__})"
    return _Names(tuple(info["unexpected_keys"]), tuple(info["missing_keys"]))


def _pruned(kind: Any, wanted: frozenset[str]) -> Any:
    """Make a class whose networks have placeholders for the parts that are not wanted.

    It keeps the name and module of the original: conversions of weights are looked up by them.
    """

    def build_pruned(self: Any, *arguments: Any, **named: Any) -> None:
        kind.__init__(self, *arguments, **named)
        prune(self, wanted)
        there = {name for name, _ in self.named_parameters(remove_duplicate=False)}
        tied = self.all_tied_weights_keys
        self.all_tied_weights_keys = {
            name: source for name, source in tied.items() if {name, source} <= there
        }

    body = {"__init__": build_pruned, "__module__": kind.__module__}
    return type(kind.__name__, (kind,), body)


def dtype_of(request: LoadRequest) -> torch.dtype:
    """Give the precision that was asked for."""
    import torch

    found: torch.dtype = getattr(torch, request.dtype)
    return found


def unreadable(what: str, error: Exception, where: str) -> WeightsError:
    """Turn whatever a reader raised into one line that names the file or directory."""
    first = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return WeightsError(
        f"{what} ({type(error).__name__}: {first})",
        where=where,
        fix="check that the files are complete, hold tensors only and need no own code",
    )


@dataclass(frozen=True, slots=True)
class Network:
    """A network in place.

    Attributes
    ----------
    module : torch.nn.Module
    device : str
        Where its inputs go.
    fresh : tuple of str
        Parameters that are not in the weights.
    reading : Reading
    """

    module: torch.nn.Module
    device: str
    fresh: tuple[str, ...]
    reading: Reading


def read(auto: str, request: LoadRequest, directory: Path, **arguments: Any) -> Any:
    """Read one part of a directory with the class of transformers that is called ``auto``.

    Raises
    ------
    WeightsError
        If it cannot be read, or needs code that the row does not allow.
    """
    import transformers

    trusted = runs_remote_code(request, directory)
    try:
        return getattr(transformers, auto).from_pretrained(
            directory, local_files_only=True, trust_remote_code=trusted, **arguments
        )
    # Readers of safetensors, pickles, JSON and tokenizers each raise their own kinds.
    except Exception as error:
        raise unreadable(f"{auto} cannot read '{directory}'", error, request.where) from error


def load_network(
    request: LoadRequest,
    directory: Path,
    config: Any,
    gguf: dict[str, str],
    trial: Callable[[torch.nn.Module, str], Any],
) -> Network:
    """Build a network and put it in place.

    Parameters
    ----------
    request : LoadRequest
    directory : Path
    config : PretrainedConfig
    gguf : dict of str to str
        Further arguments for quantised files.
    trial : callable
        ``trial(module, device)``: the smallest forward pass.

    Raises
    ------
    WeightsError
        If the weights are damaged or lack parameters.
    DeviceError
        If they fit neither one GPU nor those of the job.
    """
    sketch, why_whole = _sketch(request, directory, config, gguf)
    wanted: frozenset[str] | None = None
    state, names = LazyState({}), _Names((), ())
    matched: _Names | str = names if sketch is not None else why_whole
    if request.seed is None:
        check_index(directory, request.weight_files, request.where)
        if sketch is not None:
            state = open_state([directory / name for name in request.weight_files], request.where)
            matched = _match(type(sketch), config, state)
    if isinstance(matched, str):
        why_whole = matched
    else:
        names = matched
    if sketch is not None and not isinstance(matched, str) and request.layers is not None:
        _check_untrained(request, sketch, names.untrained, lambda: trial(sketch, "meta"))
        found = needed(sketch, lambda: trial(sketch, "meta"), request.layers)
        if isinstance(found, str):
            why_whole = found
        else:
            wanted = found
            prune(sketch, wanted)
    places = _places(request, sketch)
    if request.seed is not None:
        return _random(request, config, wanted, places)
    if sketch is not None and wanted is not None:
        module, info, reading = load_partly(request, state, config, type(sketch), wanted, places)
    else:
        arguments = {"config": config, "dtype": dtype_of(request), **INFORM}
        if places is not None:
            arguments["device_map"] = places
        module, info = read(_auto(request), request, directory, **arguments, **gguf)
        total = sum((directory / name).stat().st_size for name in request.weight_files)
        reading = Reading(total, total, why_whole if request.layers is not None else "")
    fresh = tuple(sorted(info["missing_keys"]))
    _check_shapes(info["mismatched_keys"], request.where)
    _check_complete(fresh, request.where)
    shapes = {name: tensor.shape for name, tensor in state.items()}
    unplaced = info["unexpected_keys"] if isinstance(matched, str) else names.unplaced
    check_places(module, unplaced, shapes, request.where)
    if wanted is None:
        _check_untrained(request, module, fresh, lambda: trial(module, str(module.device)))
    return _placed(request, module, fresh, reading, places)


def _sketch(
    request: LoadRequest, directory: Path, config: Any, gguf: dict[str, str]
) -> tuple[Any, str]:
    """Build the network on the meta device; or tell why it can't be built without its weights."""
    import torch
    import transformers

    if gguf:
        return None, "a gguf file is decoded whole"
    if getattr(config, "quantization_config", None) is not None:
        return None, "the weights are quantised"
    if runs_remote_code(request, directory):
        return None, "the network is code of the repository"
    try:
        with torch.device("meta"):
            network = getattr(transformers, _auto(request))
            return network.from_config(config, dtype=dtype_of(request)).eval(), ""
    # Some constructors compute with values, each failing in its own way without data.
    except Exception as error:
        return None, f"the network can't be built without data ({type(error).__name__})"


def _auto(request: LoadRequest) -> str:
    return "AutoModelForCausalLM" if request.head else "AutoModel"


def _places(request: LoadRequest, sketch: Any) -> DeviceMap | None:
    spread = request.options.choice("device_map", "none", ("none", "auto")) == "auto"
    if sketch is None:
        if spread:
            raise DeviceError(
                "this model cannot be spread over GPUs",
                where=request.where,
                fix="remove device_map from the preprocessing column",
            )
        return None
    return device_map(
        sketch, request.device, spread=spread, offload=request.offload, where=request.where
    )


def _random(
    request: LoadRequest, config: Any, wanted: frozenset[str] | None, places: DeviceMap | None
) -> Network:
    from transformers import AutoModel, AutoModelForCausalLM

    # Drawn whole, on the CPU: the same numbers whatever the layers and the machine's GPUs.
    dtype = dtype_of(request)
    module: Any = build(lambda: AutoModel.from_config(config, dtype=dtype), request.seed)
    if request.head:
        below, seed = module, request.seed
        module = build(lambda: AutoModelForCausalLM.from_config(config, dtype=dtype), seed)
        if type(getattr(module, module.base_model_prefix)) is not type(below):
            raise ModelError(
                f"'{type(module).__name__}' is no '{type(below).__name__}' with a head",
                where=request.where,
                fix="leave evaluations that need a head out for the model",
            )
        # the twin that is extracted, with a head on it
        setattr(module, module.base_model_prefix, below)
        module.tie_weights()
    if wanted is not None:
        prune(module, wanted)
    if places is not None:
        from accelerate import dispatch_model

        module = dispatch_model(module, device_map=places)
    return _placed(request, module, (), Reading(), places)


def _check_shapes(mismatched: Iterable[tuple[str, Any, Any]], where: str) -> None:
    for name, given, needed_shape in sorted(mismatched, key=lambda item: item[0]):
        raise WeightsError(
            f"'{name}' has shape {tuple(given)}, the configuration needs {tuple(needed_shape)}",
            where=where,
            fix="check that weights and config.json are of one commit",
        )


def _may_be_missing(name: str) -> bool:
    return "pooler" in name.split(".")


def _check_complete(fresh: tuple[str, ...], where: str) -> None:
    # Published checkpoints often lack the pooler; anything else missing means wrong weights.
    essential = [name for name in fresh if not _may_be_missing(name)]
    if essential:
        raise WeightsError(
            f"{len(essential)} parameters are not in the weights (first: {essential[0]})",
            where=where,
            fix="check that the weights belong to this architecture",
        )


def _check_untrained(
    request: LoadRequest, module: Any, untrained: Iterable[str], run: Callable[[], Any]
) -> None:
    """Refuse layers that are computed from parameters which no training has touched."""
    names = {name for name in untrained if _may_be_missing(name)}
    for layer in (request.layers or ()) if names else ():
        found = needed(module, run, [layer])
        random = sorted(names & found) if not isinstance(found, str) else []
        if random:
            raise LayerError(
                f"parameter '{random[0]}' is not in the weights, it would be random",
                where=f"{request.where}, layer '{layer}'",
                fix="leave the layer out",
            )


def _placed(
    request: LoadRequest,
    module: Any,
    fresh: tuple[str, ...],
    reading: Reading,
    places: DeviceMap | None,
) -> Network:
    reading.tell(request.where)
    if getattr(module.config, "use_cache", False):
        module.config.use_cache = False
    if places is None:
        # The precision is transformers' choice: some tables of positions stay in float32.
        return Network(freeze(module, request.device), request.device, fresh, reading)
    module.eval().requires_grad_(False)
    first = next(iter(places.values()))
    device = request.device if first == "cpu" else f"cuda:{first}"
    log.info("%s: spread over %s", request.where, sorted({str(p) for p in places.values()}))
    return Network(module, device, fresh, reading)


class TransformersSource:
    """A directory in the hub's layout, read with ``AutoModel``: layers are its modules.

    Code that comes with a repository is not run, unless the row says so. Dual encoders
    (CLIP, SigLIP) run the tower of the model's modality; encoder-decoders run their encoder.

    Options: those of images and tokens; ``gguf=<name>`` for a quantised file;
    ``device_map=auto`` spreads a model over the job's GPUs even if one would hold it;
    ``remote_code=<commit>`` runs the code that comes with the weights at that commit, which
    must be the row's revision, and the row's notes must say why; ``prompt=<text>`` stands before
    every text, and its tokens count in a mean, as sentence encoders are trained; ``chat=user``
    puts every text into the tokenizer's chat template, whose tokens do not count and are never
    the last; ``mask_ratio=0`` shows a masked
    autoencoder every patch of an image, in order, where it would hide most of them at random.
    """

    options = (
        IMAGE_OPTIONS
        | TOKEN_OPTIONS
        | PASS_OPTIONS
        | {"gguf", "device_map", "prompt", "chat", "mask_ratio", REMOTE_CODE}
    )
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
        "chat_template*",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
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
        self._check_choice(request, directory)
        with _quiet():
            return _load(request, directory)

    def _check_choice(self, request: LoadRequest, directory: Path) -> None:
        """Refuse another file than the one that transformers takes from a directory."""
        if request.seed is not None or "gguf" in request.options:
            return
        names = [path.name for path in directory.iterdir() if path.is_file()]
        read_here = choose_weights(names, self.weight_names, "", request.where)
        if sorted(read_here) != sorted(request.weight_files):
            raise WeightsError(
                f"transformers reads '{read_here[0]}' of '{directory}', "
                f"not '{', '.join(request.weight_files)}'",
                where=request.where,
                fix="give the directory, with the weights under their usual name",
            )


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
    if "mask_ratio" in request.options:
        _unmask(config, request)
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


def _unmask(config: Any, request: LoadRequest) -> None:
    """Let a masked autoencoder of images see all of them."""
    if request.model.modality != "vision" or not hasattr(config, "mask_ratio"):
        raise ModelError(
            f"mask_ratio is given, and '{config.model_type}' hides no part of an image",
            where=request.where,
            fix="remove mask_ratio from the preprocessing column",
        )
    config.mask_ratio = 0.0


def _in_order(pixels: torch.Tensor, config: Any) -> torch.Tensor:
    """What masking sorts patches by, so that they keep their places: (item, patch)."""
    import torch

    patch = config.patch_size
    sides = (patch, patch) if isinstance(patch, int) else tuple(patch)
    number = (pixels.shape[2] // sides[0]) * (pixels.shape[3] // sides[1])
    return torch.arange(number, dtype=torch.float32, device=pixels.device).expand(len(pixels), -1)


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
    if vision and "mask_ratio" in request.options:
        return lambda inputs: call(
            pixel_values=inputs["pixels"], noise=_in_order(inputs["pixels"], config)
        )
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
    if not gguf:
        check_tokens(tokenizer, directory, request.where)
    encoder = sentence_encoder(directory, request.where)
    longest = _longest(tokenizer, module, config)
    if encoder.max_tokens is not None:
        longest = min(longest, encoder.max_tokens)
    limit = request.options.integer("max_length", longest)
    chat = request.options.choice("chat", "none", ("none", "user")) == "user"
    prompt = request.options.text("prompt", encoder.prompt)
    frame = (prompt, "")
    if chat:
        before, behind = chat_frame(tokenizer, request.where)
        frame = (before + prompt, behind)
    return FastTokenizer(
        tokenizer,
        limit,
        _opening(request, tokenizer, frame[0] if chat else ""),
        request.where,
        frame=frame,
        chat=chat,
        lower=encoder.lower,
        length=_full_length(config, tokenizer, limit, request.where),
    )


@dataclass(frozen=True, slots=True)
class SentenceEncoder:
    """What the files of sentence-transformers say about texts.

    Attributes
    ----------
    max_tokens : int or None
    lower : bool
        Whether texts are read in lower case.
    prompt : str
        What stands before every text unless somebody says otherwise.
    """

    max_tokens: int | None = None
    lower: bool = False
    prompt: str = ""


def sentence_encoder(directory: Path, where: str) -> SentenceEncoder:
    """Read ``sentence_bert_config.json`` and ``config_sentence_transformers.json``, if there.

    Raises
    ------
    WeightsError
        One of them is not as sentence-transformers writes it.
    """
    said: dict[str, Any] = {}
    for name in ("sentence_bert_config.json", "config_sentence_transformers.json"):
        path = directory / name
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            said |= dict(content)
        except (OSError, ValueError, TypeError) as error:
            raise WeightsError(
                f"cannot read '{name}' ({error})", where=where, fix="fetch the file again"
            ) from error
    chosen, prompts = said.get("default_prompt_name"), said.get("prompts") or {}
    longest = said.get("max_seq_length")
    return SentenceEncoder(
        max_tokens=int(longest) if longest else None,
        lower=bool(said.get("do_lower_case", False)),
        prompt=str(prompts.get(chosen) or "") if chosen else "",
    )


def _full_length(config: Any, tokenizer: Any, limit: int, where: str) -> int | None:
    """Tokens that every input is filled up to; None where padding is masked.

    The text towers of SigLIP are trained on texts of full length without a mask, so that padding
    is part of every text.
    """
    if not str(config.model_type).startswith("siglip"):
        return None
    if tokenizer.pad_token_id is None:
        raise ModelError(
            "the network reads padding, and the tokenizer has no token for it",
            where=where,
            fix="add pad_token to tokenizer_config.json",
        )
    return limit


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


def _opening(request: LoadRequest, tokenizer: Any, before: str) -> int | None:
    """Token to put first, if the row leaves out the first token and the tokenizer adds none.

    Decoders park attention on whatever comes first, with activations a hundred times the
    usual size: that must be a token of its own, not a word of the stimulus.
    """
    if not request.options.flag("skip_first_token"):
        return None
    first = tokenizer(before, add_special_tokens=False)["input_ids"][:1] if before else []
    if first and first[0] in tokenizer.all_special_ids:
        return None  # a chat template has its own
    if not before and tokenizer("a", return_special_tokens_mask=True)["special_tokens_mask"][0]:
        return None
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token is not None:
            return int(token)
    raise ModelError(
        "skip_first_token=yes, but the tokenizer has no token to put first",
        where=request.where,
        fix="remove the option",
    )
