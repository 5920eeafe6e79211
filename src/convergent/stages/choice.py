"""Alignment of a checkpoint with its layer chosen on training data, and at a fixed depth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from convergent.alignment import choose_layers, mean_defined
from convergent.stages.tables import (
    ALIGNMENT_SCHEMA,
    against_null,
    frame,
    keys,
    normalised,
    one_sided_p,
    regions,
)
from convergent.store import Store
from convergent.study import Model, Study


def choices(
    study: Study, model: Model, stores: dict[tuple[str, str, str, str], Store]
) -> list[pl.DataFrame]:
    """Alignment of each checkpoint and subject: best layer by training data, and fixed depth."""
    frames = []
    for dataset, checkpoint in dict.fromkeys((key[0], key[1]) for key in stores):
        for choice in ("best", "fixed"):
            parts = []
            for subject in study.dataset(dataset).subjects:
                layers = [
                    (layer.depth, stores[dataset, checkpoint, layer.name, subject])
                    for layer in model.layers
                    if (dataset, checkpoint, layer.name, subject) in stores
                ]
                if layers:
                    parts.append((subject, *_choose(study, layers, choice)))
            frames += _choice_frames(study, model, dataset, checkpoint, choice, parts)
    return frames


def _choose(
    study: Study, layers: list[tuple[float, Store]], choice: str
) -> tuple[Store, np.ndarray, np.ndarray, np.ndarray | None]:
    """Chosen store's description, score, depth and null (permutation, region)."""
    depths = np.array([depth for depth, _ in layers])
    stores = [store for _, store in layers]
    if choice == "fixed":
        nearest = int(np.abs(depths - study.config.fit.fixed_depth).argmin())
        store = stores[nearest]
        score = mean_defined(store["region_fold_r"], axis=0)
        null = store.arrays.get("null_fold_r")
        depth = np.full(score.shape, depths[nearest])
        return store, score, depth, None if null is None else mean_defined(null, axis=1)
    chosen = choose_layers(
        np.stack([store["region_inner_r"] for store in stores]),
        np.stack([store["region_fold_r"] for store in stores]),
    )
    depth = np.where(chosen.layer < 0, np.nan, depths[chosen.layer])
    null = None
    if "null_fold_r" in stores[0].arrays:
        # the same maximum over layers inside every permutation: deep models get no advantage
        null = choose_layers(
            np.stack([store["null_inner_r"] for store in stores], axis=1),
            np.stack([store["null_fold_r"] for store in stores], axis=1),
        ).score
    return stores[0], chosen.score, mean_defined(depth, axis=0), null


def _choice_frames(
    study: Study,
    model: Model,
    dataset: str,
    checkpoint: str,
    choice: str,
    parts: Iterable[tuple[str, Store, np.ndarray, np.ndarray, np.ndarray | None]],
) -> list[pl.DataFrame]:
    parts = list(parts)
    group = _group_p(parts)
    frames = []
    for subject, store, score, depth, null in parts:
        columns = {
            **keys(study, model, dataset, study.checkpoint(model.key, checkpoint)),
            "subject": subject,
            **regions(store),
            "choice": choice,
            "depth": depth,
            "score": score,
            "noise_ceiling": store["region_noise_ceiling"],
            "score_normalised": normalised(study, score, store["region_noise_ceiling"]),
            "n_targets": store["region_targets"],
            **against_null(score, null),
        }
        columns["p_group"] = [group.get(name) for name in columns["region"]]
        frames.append(frame(columns, ALIGNMENT_SCHEMA))
    return frames


def _group_p(
    parts: Sequence[tuple[str, Store, np.ndarray, np.ndarray, np.ndarray | None]],
) -> dict[str, float | None]:
    """One-sided p of the mean over subjects, against the mean over subjects in each permutation.

    Subjects who saw the same stimuli are not independent under the null (their responses
    share what the stimuli evoke), so their p values must not be multiplied; the permutation of
    the stimuli is the same for all of them, and its mean keeps their dependence.
    """
    observed: dict[str, list[float]] = {}
    null: dict[str, list[np.ndarray]] = {}
    for _, store, score, _, permuted in parts:
        if permuted is None:
            return {}
        for index, name in enumerate(store["region"].tolist()):
            observed.setdefault(name, []).append(float(score[index]))
            null.setdefault(name, []).append(permuted[:, index])
    group: dict[str, float | None] = {}
    for name, scores in observed.items():
        p = one_sided_p(np.array([np.mean(scores)]), np.mean(null[name], axis=0)[:, None])[0]
        group[name] = float(p) if np.isfinite(p) else None
    return group
