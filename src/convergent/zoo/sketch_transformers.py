"""Rows of transformers as sketches: networks without weights, run at two sizes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convergent.errors import LayerError, ModelError, TableError, UnknownKeyError, did_you_mean
from convergent.models.inspect import Sketch
from convergent.models.layers import Pass
from convergent.study.tables import read_rows
from convergent.study.types import Modality, Model

if TYPE_CHECKING:
    import torch
    from torch import nn


ARCHITECTURES = Path("config/models/transformers")
_COUNTED = (
    "AutoModel", "AutoModel+head", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM",
    "AutoModelForPreTraining",
)  # fmt: skip
_UNITS = {"M": 10**6, "B": 10**9}
_COUNT = re.compile(r"(\d+)|(\d+)(?:\.(\d+))?([MB])")


@dataclass(frozen=True, slots=True)
class Published:
    """A published number of parameters.

    Attributes
    ----------
    architecture : str
    text : str
        As the source writes it: ``14067712``, ``4.4M``, ``11.103B``.
    counted : str
        Class of transformers that has these parameters; ``AutoModel+head`` is AutoModel and
        an output matrix (vocabulary x width) of its own.
    source : str
    """

    architecture: str
    text: str
    counted: str
    source: str

    def agrees(self, parameters: int) -> bool:
        """Whether a number is the published one, which may be rounded or cut off."""
        match = _COUNT.fullmatch(self.text)
        assert match is not None
        if match[1]:
            return parameters == int(match[1])
        decimals = match[3] or ""
        unit = _UNITS[match[4]] / 10.0 ** len(decimals)
        return abs(parameters - int(match[2] + decimals) * unit) < unit


def architecture_names(directory: Path = ARCHITECTURES) -> list[str]:
    """Names of the configurations in a directory, sorted."""
    return sorted(path.stem for path in directory.glob("*.json"))


def read_architecture(name: str, directory: Path = ARCHITECTURES) -> dict[str, Any]:
    """Read one configuration.

    Parameters
    ----------
    name : str
        As in the ``architecture`` column of a transformers row.
    directory : Path

    Returns
    -------
    dict
        ``model_type`` and the values that decide parameters, layers or the longest input.

    Raises
    ------
    UnknownKeyError
        There is no such file.
    ModelError
        The file is no JSON object with a ``model_type``.
    """
    path = directory / f"{name}.json"
    known = architecture_names(directory)
    if name not in known:
        raise UnknownKeyError(
            f"no architecture '{name}'", where=str(directory), fix=did_you_mean(name, known)
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ModelError(f"no JSON ({error})", where=str(path)) from None
    if not isinstance(content, dict) or not isinstance(content.get("model_type"), str):
        raise ModelError("no 'model_type'", where=str(path), fix="name the kind of network")
    return content


def read_published(directory: Path = ARCHITECTURES) -> dict[str, Published]:
    """Read ``sources.tsv``: the published number of parameters of each configuration.

    Raises
    ------
    TableError
        A cell cannot be read, or an architecture is there twice, or has no row or no file.
    """
    table, known = directory / "sources.tsv", set(architecture_names(directory))
    found: dict[str, Published] = {}
    for row in read_rows(table, ("architecture", "published", "counted", "source")):
        name, text = row.choice("architecture", known), row.text("published")
        if name in found:
            raise row.error("architecture", f"'{name}' is there twice", "keep one of the rows")
        if not _COUNT.fullmatch(text):
            raise row.error("published", f"'{text}' is no count", "for example 7615616512 or 4.4M")
        found[name] = Published(name, text, row.choice("counted", _COUNTED), row.text("source"))
    if known - found.keys():
        raise TableError(
            f"no row for {', '.join(sorted(known - found.keys()))}",
            where=str(table),
            fix="write where the dimensions are from",
        )
    return found


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


_MASKED = ("deberta", "deberta-v2")  # bidirectional, and their masks are products of the padding
_TOKENS = 7  # of the example input: a number that is no width, so that axes cannot be mixed up


def empty_network(configuration: dict[str, Any], auto: str = "AutoModel") -> nn.Module:
    """Build a network without weights, on the meta device.

    Parameters
    ----------
    configuration : dict
        As `read_architecture` gives it.
    auto : str
        Class of transformers that builds it.

    Raises
    ------
    ModelError
        This version of transformers does not know or does not accept the configuration.
    """
    import transformers

    values = dict(configuration)
    kind = values.pop("model_type")
    with _told(kind):
        config = transformers.AutoConfig.for_model(kind, **values)
    return network_of(config, auto)


def network_of(
    config: Any,
    auto: str = "AutoModel",
    *,
    device: str = "meta",
    dtype: torch.dtype | None = None,
) -> nn.Module:
    """Build the network of a configuration of transformers, without weights unless on the CPU.

    Raises
    ------
    ModelError
        It cannot be built.
    """
    import torch
    import transformers

    # Eager attention: the fused kinds ask for values of the mask, which meta has not.
    with _told(config.model_type), torch.device(device):
        module = getattr(transformers, auto).from_config(
            config,
            attn_implementation="eager",
            trust_remote_code=False,
            **({} if dtype is None else {"dtype": dtype}),
        )
    module.config.use_cache = False
    network: nn.Module = module.eval().requires_grad_(False)
    return network


@contextmanager
def _told(kind: str) -> Iterator[None]:
    try:
        yield
    # Configurations raise errors of many kinds, some of them their own.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"transformers cannot build '{kind}' ({first})",
            fix="correct the configuration, or update transformers",
        ) from error


def example_inputs(
    module: nn.Module, items: int = 1, tokens: int = _TOKENS
) -> dict[str, torch.Tensor]:
    """Texts of equal length on the meta device, with a mask where there can be one.

    Masks of causal networks are made without looking at the padding; the other kinds look
    whether there is any, which cannot be answered on the meta device, unless there is no mask.

    Returns
    -------
    dict of str to Tensor of int64, shape (item, token)
    """
    import torch

    config: Any = module.config
    device = next(module.parameters()).device
    ids = torch.zeros(items, tokens, dtype=torch.int64, device=device)
    if is_causal(config.model_type) or config.model_type in _MASKED:
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return {"input_ids": ids}


def run_network(module: nn.Module, inputs: dict[str, torch.Tensor]) -> Any:
    """Forward pass as extraction makes it: of the encoder alone where there is a decoder too."""
    import torch

    whole: Any = module
    call = whole.get_encoder() if whole.config.is_encoder_decoder else whole
    with torch.no_grad(), answered():
        return call(**inputs)


@contextmanager
def answered() -> Iterator[None]:
    """Answer what networks ask of values that are not there, as of full inputs without padding.

    Masks are asked whether they hold anything but ones, which they do not.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Answer(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            name = getattr(function, "__name__", "")
            asked = arguments[0] if arguments else None
            if isinstance(asked, torch.Tensor) and asked.is_meta and asked.numel() == 1:
                if name == "__bool__" or (name == "item" and asked.dtype == torch.bool):
                    return True
                if name in ("item", "__int__", "__index__"):
                    return 1
            return function(*arguments, **(named or {}))

    with Answer():
        yield


def count_parameters(module: nn.Module) -> int:
    """Number of parameters; one that is used twice counts once."""
    return sum(parameter.numel() for parameter in module.parameters())


def published_parameters(configuration: dict[str, Any], counted: str) -> int:
    """Number of parameters of the class that a published count is of.

    Parameters
    ----------
    configuration : dict
    counted : str
        `Published.counted`.
    """
    auto, _, head = counted.partition("+")
    module = empty_network(configuration, auto)
    config: Any = module.config
    return count_parameters(module) + (config.vocab_size * config.hidden_size if head else 0)


def layer_widths(module: nn.Module, paths: list[str]) -> list[int]:
    """Features of each layer's output, from a forward pass on the meta device.

    Parameters
    ----------
    module : Module
        As `empty_network` gives it.
    paths : list of str
        Module paths, in the order in which they run.

    Raises
    ------
    LayerError
        A module does not run, runs out of order, or gives no (item, token, feature).
    """
    known = dict(module.named_modules(remove_duplicate=False))
    shapes: dict[str, tuple[int, ...]] = {}

    def make(path: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple | list) else output
            shapes.setdefault(path, tuple(first.shape))

        return hook

    handles = [known[path].register_forward_hook(make(path)) for path in paths]
    try:
        run_network(module, example_inputs(module))
    finally:
        for handle in handles:
            handle.remove()
    wrong = [path for path in paths if shapes.get(path, ())[:2] != (1, _TOKENS)]
    if wrong or list(shapes) != paths:
        shown = wrong[0] if wrong else next(a for a, b in zip(paths, shapes, strict=True) if a != b)
        raise LayerError(
            f"'{shown}' gives {shapes.get(shown, 'nothing')} in a pass over {_TOKENS} tokens, "
            "or does not run in the order of the layers",
            fix="name blocks whose output is (item, token, feature), in the order they run",
        )
    return [shapes[path][2] for path in paths]


def sketch(model: Model, directory: Path | None = None) -> Sketch:
    """Build a network; its second pass has more and longer texts, or larger images.

    Parameters
    ----------
    model : Model
        Its architecture column names a file in ``transformers/`` beside the table.
    directory : Path, optional
        In the hub's layout; its ``config.json`` then says what to build.

    Raises
    ------
    ModelError
        The network cannot be built, needs code of its own, or has no tower of the modality.
    """
    where = f"model '{model.key}'"
    if directory is not None:
        config = _config(directory, where, model.preprocessing.get("gguf", ""))
    elif model.architecture:
        config = _known(model.architecture, _beside(model)).config
    else:
        raise ModelError(
            "nothing says what network this is",
            where=where,
            fix="name a file of config/models/transformers in the architecture column",
        )
    return _runnable(model.modality, config, where)


# Networks of more parameters are not built with data: 4 GiB in float32.
_MOST_PARAMETERS = 1 << 30


def _runnable(modality: Modality, config: Any, where: str) -> Sketch:
    """Sketch that runs: without data, in a type that its kernels take, or on the CPU with data."""
    import torch

    reasons: list[str] = []
    parameters = 0
    for device, dtype in (("meta", "float32"), ("meta", "bfloat16"), ("cpu", "float32")):
        if device == "cpu" and parameters > _MOST_PARAMETERS:
            break
        made = network_of(config, device=device, dtype=getattr(torch, dtype))
        parameters = count_parameters(made)
        if modality == "vision":
            passes = _image_passes(made, where)
        else:
            passes = (
                _text_pass(made, 3, _TOKENS, where),
                _text_pass(made, 5, 2 * _TOKENS, where),
            )
        try:
            for step in passes:
                step.call(step.inputs)
        except ModelError:
            raise
        # A pass fails in as many ways as there are networks: on what their kernels do not take,
        # on values that are not there.
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            reasons.append(first.rstrip("."))
        else:
            return Sketch(passes, modality, parameters, tuple_outputs=True)
    large = "" if parameters <= _MOST_PARAMETERS else f", and {parameters:,} parameters are many"
    raise ModelError(
        f"a pass through '{config.model_type}' fails ({reasons[-1]}){large}",
        where=where,
        fix="list the layers by hand, as the modules of transformers are named",
    )


def _beside(model: Model) -> Path:
    table = Path(model.source_location.partition(", line")[0])
    own = table.parent / "transformers"
    return own if model.source_location and own.is_dir() else ARCHITECTURES


@lru_cache(maxsize=4)  # rows of a family stand together, and many of them share a network
def _known(architecture: str, directory: Path) -> nn.Module:
    return empty_network(read_architecture(architecture, directory))


def _config(directory: Path, where: str, gguf: str) -> Any:
    import transformers

    file = {"gguf_file": gguf} if gguf else {}
    try:
        return transformers.AutoConfig.from_pretrained(
            directory, local_files_only=True, trust_remote_code=False, **file
        )
    # Readers of JSON and checks of the values raise errors of their own kinds.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"'{directory}' has no configuration that can be read ({first})",
            where=where,
            fix="check that config.json is there and needs no code of its own",
        ) from error


def _text_pass(module: nn.Module, items: int, tokens: int, where: str) -> Pass:
    inputs = example_inputs(module, items, tokens)
    tower = _tower(module, "get_text_features", where)
    return Pass(module, inputs, tower or (lambda i: run_network(module, i)), items, tokens=tokens)


_USUAL_SIDE = 224  # of the many networks whose configuration does not say a size


def _image_passes(module: nn.Module, where: str) -> tuple[Pass, Pass]:
    config: Any = module.config
    tower = getattr(config, "vision_config", config)
    said = getattr(tower, "image_size", None)
    sides = list(said) if isinstance(said, (list, tuple)) else [said or _USUAL_SIDE] * 2
    if not all(isinstance(side, int) and side > 0 for side in sides) or len(set(sides)) != 1:
        raise ModelError(
            f"the images of '{config.model_type}' are of the size {said}",
            where=where,
            fix="list the layers by hand: images are square here",
        )
    side = sides[0]
    larger = deepcopy(config)
    if said is not None:
        twice = [2 * side] * len(sides) if isinstance(said, (list, tuple)) else 2 * side
        getattr(larger, "vision_config", larger).image_size = twice
    parameter = next(module.parameters())
    other = network_of(larger, device=parameter.device.type, dtype=parameter.dtype)
    return (
        _image_pass(module, 3, side, where),
        _image_pass(other if said is not None else module, 5, 2 * side, where),
    )


def _image_pass(module: nn.Module, items: int, side: int, where: str) -> Pass:
    import torch

    parameter = next(module.parameters())
    config: Any = module.config
    channels = getattr(getattr(config, "vision_config", config), "num_channels", 3)
    shape = (items, channels, side, side)
    inputs = {"pixel_values": torch.zeros(shape, device=parameter.device, dtype=parameter.dtype)}
    tower = _tower(module, "get_image_features", where)
    return Pass(module, inputs, tower or (lambda i: run_network(module, i)), items, side=side)


def _tower(module: nn.Module, name: str, where: str) -> Any:
    """Call one tower of a dual encoder; None if there is one network only."""
    import torch

    config: Any = module.config
    if not (hasattr(config, "vision_config") and hasattr(config, "text_config")):
        return None
    call = getattr(module, name, None)
    if call is None:
        raise ModelError(
            f"'{config.model_type}' has no towers of its own for images and texts",
            where=where,
            fix="use a dual encoder such as CLIP, or the tower's own checkpoint",
        )

    def run(inputs: dict[str, torch.Tensor]) -> Any:
        with torch.no_grad(), answered():
            return call(**inputs)

    return run
