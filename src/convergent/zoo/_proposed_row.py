"""The table row that an inspection proposes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convergent.study.types import Model
from convergent.zoo._families import timm_family
from convergent.zoo._propose import Proposal
from convergent.zoo._rows import ModelRow


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
    from convergent.zoo._sketch_transformers import _config

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
