"""Fitting: from features and responses to one alignment store a layer and subject."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convergent.alignment import effective_dimensionality, region_means
from convergent.brains import Responses
from convergent.device import resolve_device
from convergent.errors import IdError
from convergent.pipeline.data import read_features, read_responses, read_stimuli
from convergent.pipeline.metrics import (
    Facts,
    check_metrics_of,
    compared,
    ridge,
    similarities,
    unique,
)
from convergent.pipeline.samples import Samples
from convergent.pipeline.scores import region_index
from convergent.store import Sources, Store, StoreRequest, software, write_store
from convergent.store.reuse import Kept, Part, keep, kept, restore
from convergent.store.zarr_format import Arrays
from convergent.study import Study, Unit

log = logging.getLogger(__name__)


# Layers compared at once: what similarity metrics make of the brains is then made once for all.
LAYERS_AT_ONCE = 32
_MADE_FROM = ("features", "responses", "stimuli")


@dataclass(frozen=True, eq=False)
class Brain:
    """One subject's responses, and their store."""

    responses: Responses
    store: Store


@dataclass(frozen=True, eq=False)
class Task:
    """One store to write: a layer and a subject, and what of it is there already."""

    layer: tuple[str, str]
    brain: Brain
    wanted: StoreRequest
    kept: Kept

    @property
    def missing(self) -> tuple[str, ...]:
        """Metrics to compute."""
        return tuple(name for name in self.wanted.metrics if name not in self.kept.parts)


def fit(
    study: Study,
    model: str,
    checkpoint: str | None,
    layer: str | None,
    dataset: str | None,
    subject: str | None,
) -> None:
    """Fit and score every layer of a unit for every subject asked for.

    Metrics of stores that are there and still valid are kept, not computed again.
    """
    study.model(model)
    resolve_device(study.config.fit.device)  # also where nothing is left to compute
    members: dict[str, list[tuple[str, str]]] = {}
    for data, _, check, name in study.members(Unit(model, checkpoint, layer)):
        if dataset in (None, data):
            members.setdefault(data, []).append((check, name))
    for data, layers in members.items():
        _Fit(study, data, model, _subjects(study, data, subject)).run(layers)


def _subjects(study: Study, dataset: str, subject: str | None) -> Sequence[str]:
    known = study.dataset(dataset).subjects
    if subject is None:
        return known
    study.subject(dataset, subject)
    return [subject]


class _Fit:
    """Fits of one model to the subjects of one data set."""

    def __init__(self, study: Study, dataset: str, model: str, subjects: Sequence[str]) -> None:
        self.study, self.dataset, self.model = study, dataset, model
        self.stimuli = read_stimuli(study, dataset)
        self.brains = [Brain(*read_responses(study, dataset, who)) for who in subjects]
        self.sources = Sources(study)

    def run(self, layers: Sequence[tuple[str, str]]) -> None:
        """Write what is missing, `LAYERS_AT_ONCE` layers together."""
        for first in range(0, len(layers), LAYERS_AT_ONCE):
            some = layers[first : first + LAYERS_AT_ONCE]
            tasks = [task for layer in some for task in self._tasks(layer)]
            missing = [task for task in tasks if not task.kept.complete]
            for task in tasks:
                if task.kept.complete:
                    restore(task.wanted)
            if done := len(tasks) - len(missing):
                log.info("%d of %d stores were there", done, len(tasks))
            self._run(missing)

    def _tasks(self, layer: tuple[str, str]) -> list[Task]:
        """One per subject; features that are missing end the job here."""
        keys = self._keys(layer)
        self.sources.fingerprint(self.study.paths.features(*keys.values()))
        if self.study.config.fit.unique:
            for path in self.study.nuisance_files(self.dataset):
                self.sources.fingerprint(path)
        subjects = [brain.responses.subject for brain in self.brains]
        asked = StoreRequest.alignments(self.study, keys, subjects, self.sources)
        return [
            Task(layer, brain, wanted, kept(wanted))
            for brain, wanted in zip(self.brains, asked, strict=True)
        ]

    def _keys(self, layer: tuple[str, str]) -> dict[str, str]:
        checkpoint, name = layer
        return {
            "dataset": self.dataset,
            "model": self.model,
            "checkpoint": checkpoint,
            "layer": name,
        }

    def _run(self, tasks: Sequence[Task]) -> None:
        features = {layer: self._features(layer) for layer in dict.fromkeys(t.layer for t in tasks)}
        todo: dict[tuple[tuple[str, ...], Hashable, bytes], list[Task]] = {}
        for task in tasks:
            if features[task.layer].attrs["status"] != "ok":
                self._write(task, features[task.layer], {}, {})
            elif not task.missing:
                self._write(task, features[task.layer], task.kept.parts, task.kept.common)
            else:
                # what can be computed together: the same metrics of the same samples
                order = features[task.layer]["stimulus_id"].tobytes()
                key = task.missing, _same_samples(task.brain), order
                todo.setdefault(key, []).append(task)
        for (metrics, _, _), group in todo.items():
            # a layer's subjects share its cost, and layers those of their subjects
            for subjects in _rectangles(group):
                self._compute(metrics, subjects, features)

    def _features(self, layer: tuple[str, str]) -> Store:
        """Read a layer's features, and check that they are of the stimuli that were answered."""
        keys = self._keys(layer)
        where = f"features of '{self.model}', checkpoint '{layer[0]}', layer '{layer[1]}' for "
        where += f"'{self.dataset}'"
        features = read_features(self.study, self.sources, **keys, lazy=("features",))
        for brain in self.brains:
            same = {features.attrs["stimuli_sha256"], brain.store.attrs["stimuli_sha256"]}
            if same != {self.stimuli.digest}:
                raise IdError(
                    "features, responses and stimuli are of different stimulus sets",
                    where=f"{where}, subject '{brain.responses.subject}'",
                    fix="rerun extraction and responses",
                )
        return features

    def _compute(
        self,
        metrics: Sequence[str],
        tasks: Sequence[Task],
        features: Mapping[tuple[str, str], Store],
    ) -> None:
        """Compute metrics of layers and subjects with the same samples, and write the stores."""
        config = self.study.config.fit
        layers = list(dict.fromkeys(task.layer for task in tasks))
        brains = list({id(task.brain): task.brain for task in tasks}.values())
        check_metrics_of(brains[0].responses, config)
        for layer in layers:
            # half precision is for keeping, not for computing
            values = features[layer]["features"][:].astype(np.float32, copy=False)
            features[layer].arrays["features"] = values
        samples = [
            Samples.join(features[layer], self.stimuli, brains[0].responses, config)
            for layer in layers
        ]
        common = [
            {
                "n_samples": one.count,
                "n_features": one.features.shape[1],
                "effective_dimensionality": effective_dimensionality(features[layer]["features"]),
            }
            for one, layer in zip(samples, layers, strict=True)
        ]
        found = self._metrics(metrics, layers, samples, brains)
        for task in tasks:
            row, column = layers.index(task.layer), brains.index(task.brain)
            parts = {
                name: Part(arrays[column], facts, software())
                for name, (arrays, facts) in found[row].items()
            }
            every = {name: parts.get(name) or task.kept.parts[name] for name in task.wanted.metrics}
            self._write(task, features[task.layer], every, common[row])

    def _metrics(
        self,
        metrics: Sequence[str],
        layers: Sequence[tuple[str, str]],
        samples: Sequence[Samples],
        brains: Sequence[Brain],
    ) -> list[dict[str, tuple[list[Arrays], Facts]]]:
        """Arrays a subject, and facts, by metric; one dict a layer."""
        study, config = self.study, self.study.config.fit
        responses: list[Any] = [compared(brain.responses) for brain in brains]
        stores = [brain.store for brain in brains]
        found: list[dict[str, tuple[list[Arrays], Facts]]] = [{} for _ in layers]
        if "ridge" in metrics:
            threshold = study.config.statistics.ceiling_threshold
            for into, one, layer in zip(found, samples, layers, strict=True):
                into["ridge"] = ridge(
                    one,
                    responses,
                    stores,
                    config,
                    ceiling_threshold=threshold,
                    resampled=study.resampled(self.model, layer[0]),
                )
        if "unique" in metrics:
            nuisance = [
                read_features(study, self.sources, self.dataset, *key)
                for key in study.nuisance_baselines(self.dataset)
            ]
            people = [brain.responses for brain in brains]
            for into, one in zip(found, samples, strict=True):
                into["unique"] = unique(one, people, stores, self.stimuli, nuisance, config)
        similar = [name for name in metrics if name in config.similarities]
        if similar:
            compared_layers = similarities(samples, responses, stores, config, similar)
            for into, more in zip(found, compared_layers, strict=True):
                into |= more
        return found

    def _write(
        self,
        task: Task,
        features: Store,
        parts: Mapping[str, Part],
        common: Mapping[str, Any],
    ) -> None:
        arrays = _described(task.brain.store)
        for part in parts.values():
            arrays |= part.arrays
        fit = self.study.config.fit
        attrs: dict[str, Any] = {
            **task.wanted.attrs,
            "made_from": {name: task.wanted.made_from[name] for name in _MADE_FROM},
            "metrics": {
                name: {
                    "identity": task.wanted.metric_identity(name),
                    "arrays": sorted(part.arrays),
                    "facts": dict(part.facts),
                    "software": dict(part.software),
                }
                for name, part in parts.items()
            },
            "status": features.attrs["status"],
            "reason": features.attrs["reason"],
            "width": features.attrs["width"],
            "weights_sha256": features.attrs["weights_sha256"],
            "features_identity": features.attrs["identity"],
            "counted": features.attrs["counted"],
            "fit": fit.facts() | {"device": fit.device},
            "design": task.brain.responses.design,
            **common,
        }
        write_store(task.wanted.path, "alignment", arrays, attrs)
        keep(task.wanted)


def _rectangles(tasks: Sequence[Task]) -> list[list[Task]]:
    """Divide tasks so that in each part every layer has the same subjects."""
    by_layer: dict[tuple[str, str], list[Task]] = {}
    for task in tasks:
        by_layer.setdefault(task.layer, []).append(task)
    parts: dict[tuple[int, ...], list[Task]] = {}
    for group in by_layer.values():
        parts.setdefault(tuple(id(task.brain) for task in group), []).extend(group)
    return list(parts.values())


def _same_samples(brain: Brain) -> Hashable:
    responses = brain.responses
    ids = responses.stimulus_id
    items = None if ids is None else tuple(ids.tolist())
    trials = None if responses.sample_id is None else responses.sample_id.tobytes()
    return responses.kind, items, trials, len(responses.data), responses.tr, responses.start


def _described(store: Store) -> dict[str, tuple[tuple[str, ...], Any]]:
    """Describe the regions."""
    names = ("region", "hemisphere", "network", "axis_position")
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
