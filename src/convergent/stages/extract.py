"""Extraction: from stimuli and weights to one feature store a layer."""

from __future__ import annotations

import logging
from typing import Any

from convergent.brains import StimulusSet
from convergent.device import resolve_device
from convergent.extraction import LayerFeatures
from convergent.extraction import extract as extract_features
from convergent.models import WeightsManifest, load
from convergent.stages.data import read_stimuli
from convergent.stages.weights import read_manifest
from convergent.store import write_store
from convergent.study import Checkpoint, Model, Study, Unit

log = logging.getLogger(__name__)


def extract(
    study: Study, model: str, checkpoint: str | None, layer: str | None, dataset: str | None
) -> None:
    """Extract the layers of a unit: a layer, a checkpoint or a whole model.

    Each checkpoint is loaded once, and each stimulus set is one pass for all its layers.
    """
    row = study.model(model)
    if dataset is not None:
        study.dataset(dataset)
    wanted: dict[str, dict[str, list[str]]] = {}
    for data, _, check, name in study.members(Unit(model, checkpoint, layer)):
        if dataset in (None, data):
            wanted.setdefault(check, {}).setdefault(data, []).append(name)
    stimuli = {name: read_stimuli(study, name) for per in wanted.values() for name in per}
    settings = study.config.extraction
    device = resolve_device(settings.device)
    for check, per_dataset in wanted.items():
        manifest = read_manifest(study, model, check)
        loaded = load(row, study.checkpoint(model, check), manifest, device=device)
        # data sets of the same stimuli (single listeners and their average) share a pass
        passes: dict[tuple[str, tuple[str, ...]], dict[str, LayerFeatures]] = {}
        for data, names in per_dataset.items():
            key = (stimuli[data].digest, tuple(names))
            if key not in passes:
                passes[key] = extract_features(
                    row,
                    study.checkpoint(model, check),
                    [study.layer(model, name) for name in names],
                    stimuli[data],
                    loaded=loaded,
                    batch_size=settings.batch_size,
                    projection=settings.projection,
                    projection_seed=settings.projection_seed,
                    context_words=settings.context_words,
                )
            for name, result in passes[key].items():
                _write(
                    study,
                    row,
                    study.checkpoint(model, check),
                    name,
                    stimuli[data],
                    manifest,
                    result,
                )


def _write(
    study: Study,
    model: Model,
    checkpoint: Checkpoint,
    layer: str,
    stimuli: StimulusSet,
    manifest: WeightsManifest | None,
    result: LayerFeatures,
) -> None:
    keys = {
        "dataset": stimuli.name,
        "model": model.key,
        "checkpoint": checkpoint.name,
        "layer": layer,
    }
    attrs: dict[str, Any] = {
        **keys,
        "identity": study.identity("extract", **keys),
        "status": result.status,
        "reason": result.reason,
        "width": study.layer(model.key, layer).width,
        "device": study.config.extraction.device,
        "pooled_width": result.pooled_width,
        "projected": result.projected,
        "truncated": result.truncated,
        "stimuli_sha256": stimuli.digest,
        "weights_sha256": manifest.sha256 if manifest else "",
        "config_sha256": manifest.config_sha256 if manifest else "",
        "revision": manifest.revision if manifest else "",
        "preprocessing": model.preprocessing,
        "pooling": model.pooling,
        "precision": model.precision,
    }
    if result.status != "ok":
        log.warning("%s: failed: %s", keys, result.reason)
    write_store(
        study.paths.features(stimuli.name, model.key, checkpoint.name, layer),
        "features",
        {
            "features": (("stimulus", "feature"), result.features),
            "stimulus_id": (("stimulus",), stimuli.ids),
        },
        attrs,
    )
