"""Alignment of a checkpoint with its layer chosen on training data, and at a fixed depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from convergent.alignment import LayerMaximum, mean_defined
from convergent.alignment.similarity import calibrate, largest_p
from convergent.pipeline.scores import Scores, scores_of
from convergent.store import Store
from convergent.study import Layer, Model, Study
from convergent.tables.frames import (
    ALIGNMENT_SCHEMA,
    against_null,
    frame,
    keys,
    regions,
    share_of_ceiling,
)

# What rows say of regions, whichever layer is chosen.
_DESCRIBED = ("region", "hemisphere", "network", "axis_position", "region_noise_ceiling",
              "region_targets")  # fmt: skip


class _Chosen(NamedTuple):
    """One subject's score, depth and null, by region."""

    subject: str
    store: Store
    score: np.ndarray
    depth: np.ndarray
    null: np.ndarray | None


class _Fixed(NamedTuple):
    """The layer that is nearest to the fixed depth, of those seen."""

    depth: float
    scores: list[Scores]


@dataclass
class _Seen:
    """What is left of one subject's layers: the best of each score, and the one at a depth."""

    store: Store
    kinds: list[tuple[str, float]]
    best: list[LayerMaximum]
    best_null: list[LayerMaximum | None]
    fixed: _Fixed


class Choosing:
    """Choose layers of one checkpoint, which are seen one at a time and let go.

    Memory does not grow with the number of layers.

    Parameters
    ----------
    study : Study
    model : Model
    dataset, checkpoint : str
    """

    def __init__(self, study: Study, model: Model, dataset: str, checkpoint: str) -> None:
        self._study = study
        self._common = keys(study, model, dataset, study.checkpoint(model.key, checkpoint))
        self._subjects = sorted(study.dataset(dataset).subjects)
        self._seen: dict[str, _Seen] = {}

    def add(self, layer: Layer, subject: str, store: Store) -> None:
        """See a layer of a subject, in the order of the model's row."""
        scores = scores_of(store, self._study.config.fit)
        seen = self._seen.get(subject)
        if seen is None:
            seen = self._seen[subject] = _first(layer, store, scores)
        wanted = self._study.config.fit.fixed_depth
        if abs(layer.depth - wanted) < abs(seen.fixed.depth - wanted):
            seen.fixed = _Fixed(layer.depth, _kept(scores))
        for best, null, one in zip(seen.best, seen.best_null, scores, strict=True):
            best.add(one.inner, one.outer, layer.depth)
            if null is not None:
                assert one.null_inner is not None and one.null_outer is not None
                # the same choice of layers inside every permutation: deep models get no advantage
                null.add(one.null_inner, one.null_outer, layer.depth)

    def frames(self) -> list[pl.DataFrame]:
        """Rows of the alignment table: best layer by training data, and fixed depth."""
        people = [subject for subject in self._subjects if subject in self._seen]
        frames = []
        kinds = self._seen[people[0]].kinds if people else []
        for index, (metric, scale) in enumerate(kinds):
            for choice in ("best", "fixed"):
                choose = _best if choice == "best" else _fixed
                parts = [choose(subject, self._seen[subject], index) for subject in people]
                common = {**self._common, "metric": metric, "scale": scale, "choice": choice}
                frames += _frames(self._study, common, parts)
        return frames


def _first(layer: Layer, store: Store, scores: list[Scores]) -> _Seen:
    described = {name: store[name] for name in _DESCRIBED}
    return _Seen(
        Store(store.path, described, {}, {}),
        [(one.metric, one.scale) for one in scores],
        [LayerMaximum() for _ in scores],
        [
            None if one.null_inner is None or one.null_outer is None else LayerMaximum()
            for one in scores
        ],
        _Fixed(layer.depth, _kept(scores)),
    )


def _kept(scores: list[Scores]) -> list[Scores]:
    """Scores and nulls by themselves, without the store that they are views of."""
    return [
        Scores(
            one.metric,
            one.scale,
            one.score.copy(),
            None if one.null is None else one.null.copy(),
            one.inner[:0],
            one.outer[:0],
            None,
            None,
        )
        for one in scores
    ]


def _best(subject: str, seen: _Seen, index: int) -> _Chosen:
    best, null = seen.best[index], seen.best_null[index]
    depth = mean_defined(best.depth, axis=0)
    return _Chosen(subject, seen.store, best.score, depth, None if null is None else null.score)


def _fixed(subject: str, seen: _Seen, index: int) -> _Chosen:
    one = seen.fixed.scores[index]
    depth = np.full(one.score.shape, seen.fixed.depth)
    return _Chosen(subject, seen.store, one.score, depth, one.null)


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
        columns["p_permutation"] = [group.get(name) for name in columns["region"]]
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
