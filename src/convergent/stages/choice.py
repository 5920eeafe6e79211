"""Alignment of a checkpoint with its layer chosen on training data, and at a fixed depth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from convergent.alignment import choose_layers, mean_defined
from convergent.alignment.similarity import calibrate, largest_p
from convergent.stages.scores import Scores, scores_of
from convergent.stages.tables import (
    ALIGNMENT_SCHEMA,
    against_null,
    frame,
    keys,
    regions,
    share_of_ceiling,
)
from convergent.store import Store
from convergent.study import Model, Study


class _Chosen(NamedTuple):
    """One subject's score, depth and null, by region."""

    subject: str
    store: Store
    score: np.ndarray
    depth: np.ndarray
    null: np.ndarray | None


def choices(
    study: Study, model: Model, stores: dict[tuple[str, str, str, str], Store]
) -> list[pl.DataFrame]:
    """Alignment of each checkpoint and subject: best layer by training data, and fixed depth."""
    frames = []
    similarities = list(study.config.fit.similarities)
    for dataset, checkpoint in dict.fromkeys((key[0], key[1]) for key in stores):
        # subject -> (depth of the layer, its scores, one a metric and scale)
        read: dict[str, list[tuple[float, Store, list[Scores]]]] = {}
        for subject in study.dataset(dataset).subjects:
            read[subject] = [
                (layer.depth, store, scores_of(store, similarities))
                for layer in model.layers
                if (store := stores.get((dataset, checkpoint, layer.name, subject))) is not None
            ]
        people = [subject for subject, layers in read.items() if layers]
        common = keys(study, model, dataset, study.checkpoint(model.key, checkpoint))
        for index, example in enumerate(read[people[0]][0][2]):
            metric = {"metric": example.metric, "scale": example.scale}
            for choice in ("best", "fixed"):
                parts = [
                    _choose(
                        study,
                        subject,
                        [(depth, store, scores[index]) for depth, store, scores in read[subject]],
                        choice,
                    )
                    for subject in people
                ]
                frames += _frames(study, {**common, **metric, "choice": choice}, parts)
    return frames


def _choose(
    study: Study, subject: str, layers: list[tuple[float, Store, Scores]], choice: str
) -> _Chosen:
    depths = np.array([depth for depth, _, _ in layers])
    store, scores = layers[0][1], [scores for _, _, scores in layers]
    if choice == "fixed":
        nearest = int(np.abs(depths - study.config.fit.fixed_depth).argmin())
        one = scores[nearest]
        depth = np.full(one.score.shape, depths[nearest])
        return _Chosen(subject, layers[nearest][1], one.score, depth, one.null)
    chosen = choose_layers(np.stack([s.inner for s in scores]), np.stack([s.outer for s in scores]))
    depth = np.where(chosen.layer < 0, np.nan, depths[chosen.layer])
    inner = [s.null_inner for s in scores if s.null_inner is not None]
    outer = [s.null_outer for s in scores if s.null_outer is not None]
    null = None
    if inner and outer:
        # the same choice of layers inside every permutation: deep models get no advantage
        null = choose_layers(np.stack(inner, axis=1), np.stack(outer, axis=1)).score
    return _Chosen(subject, store, chosen.score, mean_defined(depth, axis=0), null)


def _frames(
    study: Study, common: dict[str, object], parts: Sequence[_Chosen]
) -> list[pl.DataFrame]:
    group, largest = _group_p(parts)
    frames = []
    for part in parts:
        ceiling = part.store["region_noise_ceiling"]
        columns = {
            **common,
            "subject": part.subject,
            **regions(part.store),
            "depth": part.depth,
            "score": part.score,
            "noise_ceiling": ceiling,
            "n_targets": part.store["region_targets"],
            **against_null(part.score, part.null),
        }
        columns["score_normalised"] = share_of_ceiling(
            str(common["metric"]),
            part.score,
            ceiling,
            threshold=study.config.statistics.ceiling_threshold,
        )
        columns["p_group"] = [group.get(name) for name in columns["region"]]
        columns["p_fwe"] = [largest.get(name) for name in columns["region"]]
        frames.append(frame(columns, ALIGNMENT_SCHEMA))
    return frames


def _group_p(parts: Sequence[_Chosen]) -> tuple[dict[str, float], dict[str, float]]:
    """One-sided p of the mean over subjects, against the mean over subjects in each permutation.

    Subjects who saw the same stimuli are not independent under the null (their responses
    share what the stimuli evoke), so their p values must not be multiplied; the permutation of
    the stimuli is the same for all of them, and its mean keeps their dependence.

    Returns
    -------
    alone : dict of str to float
        Of each region by itself.
    largest : dict of str to float
        Against the largest region of each permutation: corrected for the number of regions.
    """
    if any(part.null is None or len(part.null) == 0 for part in parts):
        return {}, {}
    names = list(dict.fromkeys(name for part in parts for name in part.store["region"].tolist()))
    position = {name: index for index, name in enumerate(names)}
    permutations = min(len(part.null) for part in parts if part.null is not None)
    # sums over the subjects who have the region
    score, null = np.zeros(len(names)), np.zeros((permutations, len(names)))
    count = np.zeros(len(names))
    for part in parts:
        assert part.null is not None
        at = [position[name] for name in part.store["region"].tolist()]
        score[at] += part.score
        null[:, at] += part.null[:permutations]
        count[at] += 1
    score, null = score / count, null / count
    return (
        _defined(names, calibrate(score, null).p),
        _defined(names, largest_p(score, null)),
    )


def _defined(names: list[str], values: np.ndarray) -> dict[str, float]:
    pairs = zip(names, values.tolist(), strict=True)
    return {name: value for name, value in pairs if np.isfinite(value)}
