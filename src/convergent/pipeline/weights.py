"""Weights: trained here, found in a package or directory, or downloaded; recorded with a hash."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from convergent.device import resolve_device
from convergent.errors import ConfigError, WeightsError
from convergent.models import (
    LoadedBaseline,
    LoadedModel,
    WeightsManifest,
    check_distinct,
    load,
    make_manifest,
)
from convergent.store import StoreRequest, attributes, publish, read_record
from convergent.study import Study, same_weights

log = logging.getLogger(__name__)


def train(study: Study, model: str) -> None:
    """Train a model and keep its checkpoints.

    The checkpoints are written beside the final place and moved there whole, so that a killed
    training leaves nothing that could be taken for its result.

    Raises
    ------
    ConfigError
        The model is not trained here.
    """
    row = study.model(model)
    if not study.trains(model):
        raise ConfigError(
            f"model '{model}' has reference '{row.reference}'",
            where=row.source_location,
            fix="only models with reference 'trained:<recipe>' are trained by the workflow",
        )
    from convergent.training import train as run

    recipe = row.reference.split(":", 1)[1]
    final = Path(study.paths.trained_directory(model, "any")).parent
    working = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    try:
        record = run(
            recipe,
            row,
            working,
            options=study.config.training.get(recipe, {}),
            device=study.config.extraction.device,
        )
        shutil.rmtree(final, ignore_errors=True)
        working.rename(final)
    finally:
        shutil.rmtree(working, ignore_errors=True)
    request = StoreRequest.of(study, "train", {"model": model})
    content = {**record, **request.attrs}
    with publish(request.path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    log.info("trained '%s': %s", model, final)


def write_manifests(study: Study, model: str, checkpoint: str | None) -> None:
    """Record where the weights of one or all checkpoints of a model are, and their hashes.

    This is the only stage that downloads: it runs on the login node, before any job.

    Raises
    ------
    WeightsError
        Missing, unpinned or unsafe weights, or the same weights under two names.
    """
    row = study.model(model)
    names = [checkpoint] if checkpoint else [item.name for item in row.checkpoints]
    if study.trains(model):
        read_record(StoreRequest.of(study, "train", {"model": model}))
    manifests = {}
    for name in names:
        trained_dir = None
        if study.trains(model):
            trained_dir = study.paths.trained_directory(model, name)
        manifests[name] = make_manifest(
            row,
            study.checkpoint(model, name),
            trained_dir=trained_dir,
            allow_download=os.environ.get("HF_HUB_OFFLINE", "0") != "1",
            cache=study.config.weights.cache,
        )
    # Models of other families are compared before results are published; reading all would
    # make this step slower with every row of the study.
    asked = [
        StoreRequest.of(study, "weights", {"model": key, "checkpoint": item.name})
        for key in study.family(row.family)
        for item in study.model(key).checkpoints
        if (key, item.name) not in {(model, name) for name in manifests}
    ]
    # those of other settings are about to be made anew, and are compared then
    known = [
        WeightsManifest.read(one.path)
        for one in asked
        if Path(one.path).exists() and one.difference(attributes(one.path)) is None
    ]
    check_distinct([*known, *manifests.values()], same_weights(study.models.values()))
    for name, manifest in manifests.items():
        request = StoreRequest.of(study, "weights", {"model": model, "checkpoint": name})
        replace(manifest, identity=request.identity).write(request.path)


def read_manifest(study: Study, model: str, checkpoint: str) -> WeightsManifest | None:
    """Read a checkpoint's manifest; None for baselines, which have no weights."""
    if study.model(model).is_control:
        return None
    path = Path(study.paths.weights(model, checkpoint))
    if not path.exists():
        raise WeightsError(
            "the weights are not recorded yet",
            where=f"model '{model}', checkpoint '{checkpoint}'",
            fix=f"convergent weights --study {study.file} --model {model}",
        )
    return _manifest(study, model, checkpoint)


def _manifest(study: Study, model: str, checkpoint: str) -> WeightsManifest:
    request = StoreRequest.of(study, "weights", {"model": model, "checkpoint": checkpoint})
    read_record(request)
    return WeightsManifest.read(request.path)


def load_checkpoint(
    study: Study,
    model: str,
    checkpoint: str,
    *,
    layers: Sequence[str] | None = None,
    head: bool = False,
) -> tuple[LoadedModel | LoadedBaseline, WeightsManifest | None]:
    """Load a checkpoint as the study's configuration says.

    Parameters
    ----------
    study : Study
    model, checkpoint : str
    layers : sequence of str, optional
        The only layers that will be read; all unless given.
    head : bool
        Whether a language model predicts the next token.

    Returns
    -------
    loaded : LoadedModel or LoadedBaseline
    manifest : WeightsManifest or None
        None for baselines.
    """
    settings = study.config.extraction
    manifest = read_manifest(study, model, checkpoint)
    loaded = load(
        study.model(model),
        study.checkpoint(model, checkpoint),
        manifest,
        device=resolve_device(settings.device),
        dtype=settings.precision,
        full_check=study.config.weights.check == "full",
        layers=layers,
        offload=settings.offload,
        head=head,
    )
    return loaded, manifest


def check_all_distinct(study: Study) -> None:
    """Refuse a study in which two checkpoints, of whatever models, have the same weights."""
    manifests = (
        _manifest(study, model.key, checkpoint.name)
        for model in study.models.values()
        if not model.is_control
        for checkpoint in model.checkpoints
        if Path(study.paths.weights(model.key, checkpoint.name)).exists()
    )
    check_distinct(manifests, same_weights(study.models.values()))
