"""Fitting: from features and responses to one alignment store a layer and subject."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np

from convergent.alignment import effective_dimensionality, region_means
from convergent.brains import Responses, StimulusSet
from convergent.errors import IdError
from convergent.stages.data import read_responses, read_stimuli
from convergent.stages.metrics import region_index, ridge, similarities
from convergent.stages.samples import Samples
from convergent.store import Store, read_store, write_store
from convergent.study import Study, Unit
from convergent.zarr_format import Arrays

log = logging.getLogger(__name__)


def fit(
    study: Study,
    model: str,
    checkpoint: str | None,
    layer: str | None,
    dataset: str | None,
    subject: str | None,
) -> None:
    """Fit and score every layer of a unit for every subject asked for."""
    study.model(model)
    stimuli: dict[str, StimulusSet] = {}
    responses: dict[tuple[str, str], tuple[Responses, Store]] = {}
    for data, _, check, name in study.members(Unit(model, checkpoint, layer)):
        if dataset not in (None, data):
            continue
        if data not in stimuli:
            stimuli[data] = read_stimuli(study, data)
        where = f"features of '{model}', checkpoint '{check}', layer '{name}' for '{data}'"
        path = study.paths.features(data, model, check, name)
        features = read_store(path, "features", where=where)
        brains = []
        for person in _subjects(study, data, subject):
            if (data, person) not in responses:
                responses[data, person] = read_responses(study, data, person)
            brain, store = responses[data, person]
            same = {features.attrs["stimuli_sha256"], store.attrs["stimuli_sha256"]}
            if same != {stimuli[data].digest}:
                raise IdError(
                    "features, responses and stimuli are of different stimulus sets",
                    where=f"{where}, subject '{person}'",
                    fix="rerun extraction and responses",
                )
            brains.append((brain, store))
        _fit_layer(study, features, stimuli[data], brains)


def _subjects(study: Study, dataset: str, subject: str | None) -> Sequence[str]:
    known = study.dataset(dataset).subjects
    if subject is None:
        return known
    study.subject(dataset, subject)
    return [subject]


def _fit_layer(
    study: Study,
    features: Store,
    stimuli: StimulusSet,
    brains: Sequence[tuple[Responses, Store]],
) -> None:
    """Compare one layer with its subjects; those with the same samples share its factorisation."""
    config = study.config.fit
    if features.attrs["status"] != "ok":
        for brain, store in brains:
            _write(study, features, brain, _described(store), {})
        return
    dimensionality = effective_dimensionality(features["features"])
    alike: dict[tuple[object, ...], list[tuple[Responses, Store]]] = {}
    for brain, store in brains:
        items = None if brain.stimulus_id is None else tuple(brain.stimulus_id.tolist())
        alike.setdefault((items, len(brain.data), brain.tr, brain.start), []).append((brain, store))
    for group in alike.values():
        samples = Samples.join(features, stimuli, group[0][0], config)
        responses = [brain.data for brain, _ in group]
        stores = [store for _, store in group]
        facts: dict[str, Any] = {
            "n_samples": samples.count,
            "n_features": samples.features.shape[1],
            "effective_dimensionality": dimensionality,
        }
        arrays: list[dict[str, Any]] = [{**_described(store)} for store in stores]
        found = []
        if "ridge" in config.metrics:
            threshold = study.config.statistics.ceiling_threshold
            found.append(ridge(samples, responses, stores, config, ceiling_threshold=threshold))
        if config.similarities:
            found.append(similarities(samples, responses, stores, config))
        for more, said in found:
            facts |= said
            for mine, theirs in zip(arrays, more, strict=True):
                mine |= theirs
        for (brain, _), mine in zip(group, arrays, strict=True):
            _write(study, features, brain, mine, facts)


def _write(
    study: Study, features: Store, brain: Responses, arrays: Arrays, facts: dict[str, Any]
) -> None:
    keys = {key: features.attrs[key] for key in ("dataset", "model", "checkpoint", "layer")}
    attrs: dict[str, Any] = {
        **keys,
        "subject": brain.subject,
        "identity": study.identity("fit", **keys),
        "status": features.attrs["status"],
        "reason": features.attrs["reason"],
        "width": features.attrs["width"],
        "weights_sha256": features.attrs["weights_sha256"],
        "features_identity": features.attrs["identity"],
        "fit": study.config.fit.model_dump(mode="json"),
        "design": brain.design,
        **facts,
    }
    path = study.paths.alignment(
        keys["dataset"], keys["model"], keys["checkpoint"], keys["layer"], brain.subject
    )
    write_store(path, "alignment", arrays, attrs)


def _described(store: Store) -> Arrays:
    """Describe the regions."""
    names = ("region", "hemisphere", "network", "region_order")
    index, regions = region_index(store), len(store["region"])
    return {
        **{name: (("region",), store[name]) for name in names},
        "region_noise_ceiling": (
            ("region",),
            np.asarray(region_means(store["noise_ceiling"], index, regions)),
        ),
        "region_targets": (
            ("region",),
            np.bincount(index, minlength=regions).astype(np.int64),
        ),
    }
