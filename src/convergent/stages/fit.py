"""Fitting: from features and responses to one alignment store a layer and subject."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from convergent.alignment import (
    Problem,
    RidgeScores,
    Split,
    alpha_grid,
    effective_dimensionality,
    fir,
    fit_subjects,
    inner_item_splits,
    inner_story_splits,
    item_orders,
    item_splits,
    region_means,
    story_orders,
    story_splits,
    words_to_volumes,
)
from convergent.brains import Responses, StimulusSet, align, join_items
from convergent.errors import ConfigError, IdError
from convergent.stages.data import read_responses, read_stimuli
from convergent.store import Store, read_store, write_store
from convergent.study import FitConfig, Study, Unit
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
    """Fit one layer for its subjects; those with the same samples share the factorisation."""
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
        first = group[0][0]
        x, rows, ids = _design(features, stimuli, first, config)
        splits, inner, orders = _folds(stimuli, ids, first, len(x), config)
        problems = [
            Problem(brain.data[rows], orders, _region_index(brain.region, store["region"]))
            for brain, store in group
        ]
        scores = fit_subjects(
            x,
            problems,
            splits,
            design=first.design,
            alphas=alpha_grid(config.alphas.low, config.alphas.high, config.alphas.number),
            selection=_selection(first, config),
            inner_splits=inner,
            device=config.device,
            dtype=config.dtype,
        )
        facts = {
            "n_samples": x.shape[0],
            "n_features": x.shape[1],
            "selection": _selection(first, config),
            "effective_dimensionality": dimensionality,
        }
        for (brain, store), problem, score in zip(group, problems, scores, strict=True):
            arrays = _arrays(score, np.asarray(problem.region_index), len(store["region"]), store)
            _write(study, features, brain, {**_described(store), **arrays}, facts)


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
    return {name: (("region",), store[name]) for name in names}


def _selection(brain: Responses, config: FitConfig) -> Literal["loo", "folds"]:
    # neighbouring volumes leak into each other: leave-one-out is for independent stimuli
    return "folds" if brain.design == "story" else config.selection


def _design(
    features: Store, stimuli: StimulusSet, brain: Responses, config: FitConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Features, and which samples of the responses answer their rows; ids for items."""
    if brain.design == "items":
        rows, columns = join_items(features["stimulus_id"], brain, require_all=False)
        assert brain.stimulus_id is not None
        return features["features"][rows], columns, brain.stimulus_id[columns]
    words = align(features["stimulus_id"], stimuli.ids)
    assert stimuli.onset is not None and stimuli.offset is not None
    assert brain.tr is not None and brain.start is not None
    volumes = words_to_volumes(
        features["features"][words],
        (stimuli.onset + stimuli.offset) / 2,
        n_volumes=len(brain.data),
        tr=brain.tr,
        start=brain.start,
    )
    return fir(volumes, config.delays), np.arange(len(brain.data)), None


def _folds(
    stimuli: StimulusSet,
    ids: np.ndarray | None,
    brain: Responses,
    n: int,
    config: FitConfig,
) -> tuple[Sequence[Split], Callable[[np.ndarray], Sequence[Split]] | None, np.ndarray | None]:
    """Outer folds, inner folds and the row orders of the permutation null."""
    count = config.permutations
    if ids is None:
        outer = story_splits(n, folds=config.folds, trim=config.trim)
        minimum = max(config.delays) + config.trim
        orders = (
            story_orders(n, permutations=count, minimum=minimum, seed=config.seed)
            if count
            else None
        )
        return (
            outer,
            lambda train: inner_story_splits(train, folds=config.inner_folds, trim=config.trim),
            orders,
        )
    groups = None
    if stimuli.group is not None:
        if config.selection == "loo":
            raise ConfigError(
                "stimuli come in groups, and leave-one-out would choose alpha across a group",
                where=f"data set '{stimuli.name}'",
                fix="set fit.selection: folds",
            )
        groups = stimuli.group[align(stimuli.ids, ids)]
    outer = item_splits(ids, groups, folds=config.folds, seed=config.seed)
    orders = item_orders(ids, permutations=count, seed=config.seed) if count else None
    if config.selection == "loo":
        return outer, None, orders
    return (
        outer,
        lambda train: inner_item_splits(
            train, ids, groups, folds=config.inner_folds, seed=config.seed
        ),
        orders,
    )


def _region_index(targets: np.ndarray, regions: np.ndarray) -> np.ndarray:
    position = {name: index for index, name in enumerate(regions.tolist())}
    return np.array([position[name] for name in targets.tolist()], dtype=np.intp)


def _arrays(scores: RidgeScores, region_index: np.ndarray, n_regions: int, store: Store) -> Arrays:
    def by_region(values: np.ndarray) -> np.ndarray:
        return np.asarray(region_means(values, region_index, n_regions))

    ceiling = store["noise_ceiling"]
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        "r": (("target",), scores.r),
        "r2": (("target",), scores.r2),
        "alpha": (("fold", "target"), scores.alpha),
        "alpha_at_edge": (("fold", "target"), scores.alpha_at_edge),
        "fold_r": (("fold", "target"), scores.fold_r),
        "inner_r": (("fold", "target"), scores.inner_r),
        "target_region": (("target",), store["target_region"]),
        "noise_ceiling": (("target",), ceiling),
        "region_r": (("region",), by_region(scores.r)),
        "region_r2": (("region",), by_region(scores.r2)),
        "region_fold_r": (("fold", "region"), by_region(scores.fold_r)),
        "region_inner_r": (("fold", "region"), by_region(scores.inner_r)),
        "region_noise_ceiling": (("region",), by_region(ceiling)),
        "region_log10_alpha": (("region",), by_region(np.log10(scores.alpha).mean(axis=0))),
        "region_edge_share": (
            ("region",),
            by_region(scores.alpha_at_edge.mean(axis=0, dtype=np.float64)),
        ),
        "region_targets": (
            ("region",),
            np.bincount(region_index, minlength=n_regions).astype(np.int64),
        ),
    }
    if scores.null_fold_r is not None and scores.null_inner_r is not None:
        axes = ("permutation", "fold", "region")
        arrays["null_fold_r"] = (axes, scores.null_fold_r)
        arrays["null_inner_r"] = (axes, scores.null_inner_r)
    return arrays
