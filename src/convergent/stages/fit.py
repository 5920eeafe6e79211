"""Fitting: from features and responses to one alignment store a layer and subject."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import numpy as np

from convergent.alignment import effective_dimensionality, region_means
from convergent.brains import Responses, StimulusSet
from convergent.errors import IdError
from convergent.stages.data import read_responses, read_stimuli
from convergent.stages.kinds import check_metrics_of, compared
from convergent.stages.metrics import region_index, ridge, similarities
from convergent.stages.nuisance import read_baselines
from convergent.stages.samples import Samples
from convergent.stages.unique import unique
from convergent.store import Store, read_store, write_store
from convergent.study import Study, Unit
from convergent.zarr_format import Arrays

log = logging.getLogger(__name__)


# Layers compared at once: what similarity metrics make of the brains is then made once for all.
LAYERS_AT_ONCE = 32

Brain = tuple[Responses, Store]
T = TypeVar("T")


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
    members: dict[str, list[tuple[str, str]]] = {}
    for data, _, check, name in study.members(Unit(model, checkpoint, layer)):
        if dataset in (None, data):
            members.setdefault(data, []).append((check, name))
    for data, layers in members.items():
        stimuli = read_stimuli(study, data)
        brains = [read_responses(study, data, who) for who in _subjects(study, data, subject)]
        for first in range(0, len(layers), LAYERS_AT_ONCE):
            _fit_layers(study, data, model, layers[first : first + LAYERS_AT_ONCE], stimuli, brains)


def _subjects(study: Study, dataset: str, subject: str | None) -> Sequence[str]:
    known = study.dataset(dataset).subjects
    if subject is None:
        return known
    study.subject(dataset, subject)
    return [subject]


def _fit_layers(
    study: Study,
    dataset: str,
    model: str,
    layers: Sequence[tuple[str, str]],
    stimuli: StimulusSet,
    brains: Sequence[Brain],
) -> None:
    """Compare layers with subjects; subjects with the same samples share what layers cost."""
    usable = []
    for check, name in layers:
        where = f"features of '{model}', checkpoint '{check}', layer '{name}' for '{dataset}'"
        path = study.paths.features(dataset, model, check, name)
        features = read_store(path, "features", where=where)
        # half precision is for keeping, not for computing
        features.arrays["features"] = features["features"].astype(np.float32, copy=False)
        for brain, store in brains:
            same = {features.attrs["stimuli_sha256"], store.attrs["stimuli_sha256"]}
            if same != {stimuli.digest}:
                raise IdError(
                    "features, responses and stimuli are of different stimulus sets",
                    where=f"{where}, subject '{brain.subject}'",
                    fix="rerun extraction and responses",
                )
        if features.attrs["status"] == "ok":
            usable.append(features)
            continue
        for brain, store in brains:
            _write(study, features, brain, _described(store), {})
    for group in _alike(brains, _same_samples):
        for same_order in _alike(usable, lambda features: features["stimulus_id"].tobytes()):
            _compare(study, same_order, stimuli, group)


def _compare(
    study: Study, layers: Sequence[Store], stimuli: StimulusSet, brains: Sequence[Brain]
) -> None:
    """Compute every metric of layers and subjects with the same samples, and write the stores."""
    config = study.config.fit
    check_metrics_of(brains[0][0], config)
    responses: list[Any] = [compared(brain) for brain, _ in brains]
    stores = [store for _, store in brains]
    samples = [Samples.join(layer, stimuli, brains[0][0], config) for layer in layers]
    arrays: list[list[dict[str, Any]]] = [
        [{**_described(store)} for store in stores] for _ in layers
    ]
    facts: list[dict[str, Any]] = [
        {
            "n_samples": one.count,
            "n_features": one.features.shape[1],
            "effective_dimensionality": effective_dimensionality(layer["features"]),
        }
        for one, layer in zip(samples, layers, strict=True)
    ]
    found = []
    if "ridge" in config.metrics:
        threshold = study.config.statistics.ceiling_threshold
        found.append(
            [
                ridge(
                    one,
                    responses,
                    stores,
                    config,
                    ceiling_threshold=threshold,
                    resampled=study.resampled(layer.attrs["model"], layer.attrs["checkpoint"]),
                )
                for one, layer in zip(samples, layers, strict=True)
            ]
        )
    if config.unique:
        nuisance = read_baselines(study, stimuli.name)
        people = [brain for brain, _ in brains]
        found.append([unique(one, people, stores, stimuli, nuisance, config) for one in samples])
    if config.similarities:
        found.append(similarities(samples, responses, stores, config))
    for metric in found:
        for k, (more, said) in enumerate(metric):
            facts[k] |= said
            for mine, theirs in zip(arrays[k], more, strict=True):
                mine |= theirs
    for layer, said, of_layer in zip(layers, facts, arrays, strict=True):
        for (brain, _), columns in zip(brains, of_layer, strict=True):
            _write(study, layer, brain, columns, said)


def _alike(items: Sequence[T], key: Callable[[T], Hashable]) -> list[list[T]]:
    """Group what has the same key, in order of first appearance."""
    groups: dict[Hashable, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


def _same_samples(brain: Brain) -> Hashable:
    responses, _ = brain
    ids = responses.stimulus_id
    items = None if ids is None else tuple(ids.tolist())
    trials = None if responses.sample_id is None else responses.sample_id.tobytes()
    return responses.kind, items, trials, len(responses.data), responses.tr, responses.start


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
        "fit": study.config.fit.facts() | {"device": study.config.fit.device},
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
    most = 1 if store.attrs["holds"] == "dissimilarities" else index.size
    return {
        **{name: (("region",), store[name]) for name in names},
        "region_noise_ceiling": (
            ("region",),
            np.asarray(region_means(store["noise_ceiling"], index, regions)),
        ),
        "region_targets": (
            ("region",),
            # the columns of a dissimilarity matrix are stimuli: the region is one target
            np.minimum(np.bincount(index, minlength=regions), most).astype(np.int64),
        ),
    }
