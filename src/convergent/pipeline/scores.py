"""The scores of every metric in an alignment store, in one form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convergent.alignment import mean_defined
from convergent.store import Store
from convergent.study import FitConfig


@dataclass(frozen=True)
class Scores:
    """One metric at one scale, for every region of a subject.

    Layers are chosen by ``inner`` and scored by ``outer``. For encoding models these are the
    training and test samples of each outer fold; for similarities, the two halves of the
    stimuli, each once the one and once the other.

    Attributes
    ----------
    metric : str
    scale : float
        NaN for a metric that has no scales.
    score : ndarray of float64, shape (region,)
        From all samples.
    null : ndarray, shape (permutation, region), or None
    inner, outer : ndarray of float64, shape (fold, region)
    null_inner, null_outer : ndarray, shape (permutation, fold, region), or None
    """

    metric: str
    scale: float
    score: np.ndarray
    null: np.ndarray | None
    inner: np.ndarray
    outer: np.ndarray
    null_inner: np.ndarray | None
    null_outer: np.ndarray | None


def region_index(store: Store) -> np.ndarray:
    """Position of each target's region among the regions, (target,)."""
    position = {name: index for index, name in enumerate(store["region"].tolist())}
    return np.array([position[name] for name in store["target_region"].tolist()], dtype=np.intp)


def scores_of(store: Store, config: FitConfig) -> list[Scores]:
    """Read a store's scores: ridge and unique, where they were fitted, then the similarities.

    A store may hold metrics that the study does not list any more: they are left out.
    """
    found = []
    if "ridge" in config.metrics and "region_fold_r" in store.arrays:
        null, null_inner = store.arrays.get("null_fold_r"), store.arrays.get("null_inner_r")
        outer = store["region_fold_r"]
        found.append(
            Scores(
                "ridge_r",
                np.nan,
                mean_defined(outer, axis=0),
                None if null is None else mean_defined(null, axis=1),
                store["region_inner_r"],
                outer,
                null_inner,
                null,
            )
        )
    if "unique" in config.metrics and "region_unique_fold" in store.arrays:
        outer = store["region_unique_fold"]
        found.append(
            Scores(
                "unique",
                np.nan,
                mean_defined(outer, axis=0),
                None,  # permuted responses would lose the nuisance too: subjects are the test
                store["region_unique_inner"],
                outer,
                None,
                None,
            )
        )
    for name in config.similarities:
        half, null = store[f"{name}_half"], store.arrays.get(f"{name}_null")
        half_null = store.arrays.get(f"{name}_half_null")
        for s, scale in enumerate(store[f"{name}_scale"].tolist()):
            mine = half[:, s]
            null_mine = None if half_null is None else half_null[:, :, s]
            found.append(
                Scores(
                    name,
                    scale,
                    store[f"{name}_score"][s],
                    None if null is None else null[:, s],
                    mine,
                    mine[::-1],
                    null_mine,
                    None if null_mine is None else null_mine[:, ::-1],
                )
            )
    return found
