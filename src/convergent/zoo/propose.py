"""The layers part of a table row, from an inspection."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convergent.models.inspect import Inspection
from convergent.study.types import Layout, Model, Pooling
from convergent.zoo.rows import ModelRow, compress_braces

_POOLING: dict[Layout, Pooling] = {
    "tokens": "mean",
    "channels_first": "spatial_mean",
    "channels_last": "spatial_mean",
    "vector": "none",
}


@dataclass(frozen=True)
class Proposal:
    """What an inspection says about a row.

    Attributes
    ----------
    layers, widths : tuple
        One width a layer, in the order of execution.
    layout, pooling : str
    skip : int
        Leading tokens that a mean over places leaves out.
    notes : str
        Candidates of another layout, which a row cannot hold, counted.
    parameters : int
    """

    layers: tuple[str, ...]
    widths: tuple[int, ...]
    layout: Layout
    pooling: Pooling
    skip: int
    notes: str
    parameters: int
    options: dict[str, str] = field(default_factory=dict)


def propose(inspection: Inspection, parameters: int) -> Proposal:
    """Propose the layers of a row: all candidates of the layout that most blocks have.

    Raises
    ------
    LayerError
        If no block or stage can be read.
    """
    listed = inspection.listed()
    axes = listed[0].axes
    others = Counter(
        (item.kind, item.axes.layout)
        for item in inspection.candidates
        if item not in listed and item.kind in ("block", "stage")
    )
    unread = Counter(
        left.kind
        for left in inspection.left_out
        if left.kind in ("block", "stage") and not left.same_as
    )
    notes = [f"not listed: {count} {kind}s, {layout}" for (kind, layout), count in others.items()]
    notes += [f"not listed: {count} {kind}s, no single tensor" for kind, count in unread.items()]
    return Proposal(
        layers=tuple(item.path for item in listed),
        widths=tuple(item.axes.width for item in listed),
        layout=axes.layout,
        pooling=_POOLING[axes.layout],
        skip=axes.prefix,
        notes="; ".join(notes),
        parameters=parameters,
        options={"skip_tokens": str(axes.prefix)} if axes.prefix else {},
    )


def shown(proposal: Proposal) -> str:
    """Layers and widths as in a table, for people."""
    widths = sorted(set(proposal.widths))
    width = str(widths[0]) if len(widths) == 1 else f"{widths[0]}-{widths[-1]}"
    return f"{compress_braces(proposal.layers)} ({proposal.layout}, {width})"


# The first pattern that fits the start of an architecture's name gives its family; without
# one, the file of timm that defines the architecture does.
_TIMM = (
    (r"vit\w*_(clip|siglip|mci)_|beit3_", "vit-clip"),
    (r"(test_)?(vit|flexivit)", "vit"),
    (r"naflexvit", "vit"),
    (r"eva02_", "eva02"),
    (r"eva_", "eva"),
    (r"deit3_", "deit3"),
    (r"deit_", "deit"),
    (r"(test_)?convnextv2_", "convnextv2"),
    (r"(test_)?convnext", "convnext"),
    (r"swinv2_", "swinv2"),
    (r"swin_", "swin"),
    (r"regnet[vxyz]|haloregnetz", "regnet"),
    (r"(legacy_|eca_|halo|lambda_|lamhalo)?(ca)?(se)?\w*resnext|bat_resnext|\w*botnext", "resnext"),
    (r"resnetv2_\w+_bit", "bit"),
    (r"resnetv2_", "resnetv2"),
    (r"nf_|\w*nfnet", "nfnet"),
    (r"(test_)?(legacy_|eca_|gc|se|eca|wide_)?resnet", "resnet"),
    (r"(gc_|tf_)?efficientnetv2_", "efficientnetv2"),
    (r"(test_|tf_)?efficientnet_", "efficientnet"),
    (r"(tf_)?mobilenet_?(v\d|edgetpu)", "mobilenet"),
    (r"fbnet", "fbnet"),
    (r"lcnet", "lcnet"),
    (r"(tf_)?mixnet", "mixnet"),
    (r"(se)?mnasnet|spnasnet", "mnasnet"),
    (r"tinynet", "tinynet"),
    (r"repvgg", "repvgg"),
    (r"mobileone", "mobileone"),
    (r"gernet", "gernet"),
    (r"caformer|convformer", "caformer"),
    (r"poolformer", "poolformer"),
    (r"maxx?vit", "maxvit"),
    (r"coatn[ee]xt|coatnet", "coatnet"),
    (r"resmlp", "resmlp"),
    (r"gmlp", "gmlp"),
    (r"g?mixer", "mlp-mixer"),
    (r"\w*darknet|cs3\w*edgenet", "darknet"),
    (r"mobilevitv2", "mobilevitv2"),
    (r"hgnetv2", "hgnetv2"),
    (r"senet154|legacy_senet154", "senet"),
)  # fmt: skip

# open_clip: what the images and texts were, which says more than the architecture.
_OPEN_CLIP = (
    (r"EVA\d+-", "eva-clip"),
    (r"ViT-\w+-\d+-CLIPA|.*-CLIPA", "clipa"),
    (r".*SigLIP", "siglip"),
    (r"coca_", "coca"),
    (r"convnext", "clip-convnext"),
)
_PRETRAINED = (
    (r"openai", "clip-openai"),
    (r"laion", "clip-laion"),
    (r"datacomp|commonpool", "clip-datacomp"),
    (r"dfn", "clip-dfn"),
    (r"metaclip", "clip-metaclip"),
    (r"yfcc|cc12m", "clip-yfcc-cc12m"),
)


def timm_family(architecture: str, module: str) -> str:
    """Family of a timm architecture.

    Parameters
    ----------
    architecture : str
        Name without tag.
    module : str
        File of timm that defines it.
    """
    for pattern, family in _TIMM:
        if re.match(pattern, architecture):
            return family
    return module.replace("_", "-")


def open_clip_family(architecture: str, pretrained: str) -> str:
    """Family of a pair of open_clip; `clip` if neither part is known."""
    for pattern, family in _OPEN_CLIP:
        if re.match(pattern, architecture):
            return family
    for pattern, family in _PRETRAINED:
        if re.search(pattern, pretrained):
            return family
    return "clip"


def proposed_row(model: Model, proposal: Proposal, directory: Path | None = None) -> ModelRow:
    """Make a row for a person to complete: revision and tags are theirs to say.

    Parameters
    ----------
    model : Model
        As resolved.
    proposal : Proposal
    directory : Path, optional
        With the configuration, which says how texts are read.
    """
    reading = _reading(model, proposal, directory)
    key = model.key.removeprefix("timm/").replace("/", "-")
    architecture = model.architecture
    return ModelRow(
        model=key,
        family=_family(model),
        modality=model.modality,
        source=model.source,
        reference=model.reference or architecture,
        architecture=architecture,
        parameters=proposal.parameters,
        layers=proposal.layers,
        widths=proposal.widths,
        layout=proposal.layout,
        pooling=reading.pooling,
        preprocessing={**model.preprocessing, **proposal.options, **reading.options},
        attention=reading.attention,
        notes=proposal.notes,
    )


def _family(model: Model) -> str:
    if model.source == "timm" and model.architecture:
        from timm.models import model_entrypoint

        name = model.architecture
        module = model_entrypoint(name).__module__.rpartition(".")[2]
        return timm_family(name.partition(".")[0], module)
    return model.key.partition(".")[0].lower()


@dataclass(frozen=True)
class _Reading:
    """How a network reads texts, and what stands for a text."""

    pooling: str
    attention: str = ""
    options: dict[str, str] = field(default_factory=dict)


def _reading(model: Model, proposal: Proposal, directory: Path | None) -> _Reading:
    if model.modality != "language" or proposal.layout != "tokens":
        return _Reading(proposal.pooling)
    if model.source == "open_clip":
        settings = _clip_settings(model, directory)
        bidirectional = settings.get("text_cfg", {}).get("no_causal_mask", False)
        # A causal text tower is trained to say everything at the last token.
        return _Reading("mean", "bidirectional") if bidirectional else _Reading("last", "causal")
    if model.source != "transformers" or directory is None:
        return _Reading(proposal.pooling)
    from convergent.zoo.sketch_transformers import _config

    config = _config(directory, f"model '{model.key}'", model.preprocessing.get("gguf", ""))
    attention = attention_of(config)
    pooling, options = _pooling_of_sentences(directory)
    pooling = pooling or proposal.pooling
    if attention == "causal" and pooling == "mean":
        # a decoder's first token is an attention sink, with a vector a hundred times as long
        options = {"skip_first_token": "yes", **options}
    return _Reading(pooling, attention, options)


def attention_of(config: Any) -> str:
    """``causal`` or ``bidirectional``: what tokens of a network of transformers see.

    Bidirectional are encoders, of encoder-decoders as well, and what is trained to fill in words
    that were masked; causal is what else predicts the next token.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    kind = str(config.model_type)
    if hasattr(config, "text_config") and hasattr(config, "vision_config"):
        return "bidirectional" if kind.startswith(("siglip", "align", "blip")) else "causal"
    if getattr(config, "is_encoder_decoder", False) or kind in ("xlnet", "siglip_text_model"):
        return "bidirectional"
    if kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(config, "is_decoder", False):
        return "bidirectional"
    if getattr(config, "is_causal", None) is False:
        return "bidirectional"
    causal = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or kind.startswith("clip")
    return "causal" if causal else "bidirectional"


def _pooling_of_sentences(directory: Path) -> tuple[str, dict[str, str]]:
    """Pooling and options of a sentence encoder, as its own files say; empty for other folders."""
    parts = _json(directory / "modules.json")
    if not isinstance(parts, list):
        return "", {}
    kinds = [str(part.get("type", "")).rpartition(".")[2] for part in parts]
    options = {"normalise": "yes"} if "Normalize" in kinds else {}
    for part, kind in zip(parts, kinds, strict=True):
        if kind != "Pooling":
            continue
        said = _json(directory / str(part.get("path", "")) / "config.json") or {}
        modes = {"mean_tokens": "mean", "cls_token": "cls", "lasttoken": "last"}
        chosen = [name for mode, name in modes.items() if said.get(f"pooling_mode_{mode}")]
        if len(chosen) == 1:
            return chosen[0], options
    return "", options


def _clip_settings(model: Model, directory: Path | None) -> dict[str, Any]:
    if directory is not None:
        content = _json(directory / "open_clip_config.json") or {}
        return dict(content.get("model_cfg", {}))
    import open_clip

    return dict(open_clip.get_model_config(model.architecture) or {})


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
