"""Every metric that a study lists, from one read of a layer's features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convergent.alignment import (
    Problem,
    RidgeScores,
    alpha_grid,
    fit_subjects,
    normalise_by_ceiling,
    region_means,
    region_medians,
)
from convergent.errors import ConfigError
from convergent.stages.narrow import penalties, per_target
from convergent.stages.samples import Samples
from convergent.stages.scores import region_index
from convergent.store import Store, rows_of
from convergent.study import FitConfig
from convergent.zarr_format import Arrays

if TYPE_CHECKING:
    from convergent.alignment.similarity import SimilarityScores

Facts = dict[str, Any]

# Bytes for pair vectors at once: a fit's job asks for 2.5 GB.
SIMILARITY_MEMORY = 2**30


def ridge(
    samples: Samples,
    responses: Sequence[np.ndarray],
    stores: Sequence[Store],
    config: FitConfig,
    *,
    ceiling_threshold: float,
    resampled: bool = False,
) -> tuple[list[Arrays], Facts]:
    """Fit encoding models of all subjects; arrays a subject, and facts for the attributes."""
    chosen = selection(samples.design, config)
    if chosen != "folds" and samples.groups is not None:
        raise ConfigError(
            f"stimuli come in groups, and selection '{chosen}' would choose alpha across a group",
            where="fit",
            fix="set fit.selection: folds",
        )
    orders = samples.orders(config)
    resamples = samples.resamples(config) if resampled else None
    index = [region_index(store) for store in stores]
    scores = fit_subjects(
        samples.features,
        [
            Problem(rows_of(data, samples.rows), orders, regions, resamples)
            for data, regions in zip(responses, index, strict=True)
        ],
        samples.splits(config),
        design=samples.design,
        alphas=grid_of(config),
        selection=chosen,
        inner_splits=samples.inner_splits(config) if chosen == "folds" else None,
        standardize=config.standardize,
        components=config.pca,
        device=config.device,
        dtype=config.dtype,
    )
    arrays = [
        _ridge_arrays(score, store, regions, config, ceiling_threshold)
        for score, store, regions in zip(scores, stores, index, strict=True)
    ]
    return arrays, {"selection": chosen}


def similarities(
    layers: Sequence[Samples],
    responses: Sequence[Any],
    stores: Sequence[Store],
    config: FitConfig,
    names: Sequence[str],
) -> list[dict[str, tuple[list[Arrays], Facts]]]:
    """Compare layers with the regions of all subjects, by the named metrics: one dict a layer."""
    from convergent.alignment.similarity import compare_layers

    some = [samples.at_most(config.similarity_stimuli, config) for samples in layers]
    first = some[0]
    halves = first.halves(config)
    orders = first.orders_within(halves, config)
    found = compare_layers(
        [samples.features for samples in some],
        [
            Problem(data[first.rows], orders, region_index(store))
            for data, store in zip(responses, stores, strict=True)
        ],
        len(stores[0]["region"]),
        {name: config.similarities[name] for name in names},
        halves=halves,
        device=config.device,
        dtype=config.dtype,
        memory=SIMILARITY_MEMORY,
    )
    facts = {"similarity_stimuli": first.count}
    return [
        {
            name: ([_similarity_arrays(name, scores[name]) for scores in layer], facts)
            for name in names
        }
        for layer in found
    ]


def _similarity_arrays(name: str, score: SimilarityScores) -> Arrays:
    scale = f"{name}_scale"
    arrays = {
        scale: ((scale,), score.scales),
        f"{name}_score": ((scale, "region"), score.score),
    }
    parts = {
        "half": (("half", scale, "region"), score.half_score),
        "null": (("permutation", scale, "region"), score.null),
        "half_null": (("permutation", "half", scale, "region"), score.half_null),
    }
    for part, (dims, values) in parts.items():
        if values is not None:
            arrays[f"{name}_{part}"] = (dims, values.astype(np.float32))
    return arrays


def selection(design: str, config: FitConfig) -> Literal["gcv", "loo", "folds"]:
    """How alpha is chosen: neighbouring volumes of a story leak into each other."""
    return "folds" if design == "story" else config.selection


def grid_of(config: FitConfig) -> np.ndarray:
    """Penalties that a fit may choose, (alpha,), ascending."""
    return alpha_grid(config.alphas.low, config.alphas.high, config.alphas.number)


def _ridge_arrays(
    scores: RidgeScores,
    store: Store,
    index: np.ndarray,
    config: FitConfig,
    ceiling_threshold: float,
) -> Arrays:
    regions, ceiling = len(store["region"]), store["noise_ceiling"]
    normalised = normalise_by_ceiling(scores.r, ceiling, threshold=ceiling_threshold)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(region_means(values, index, regions))

    def median(values: np.ndarray) -> np.ndarray:
        return np.asarray(region_medians(values, index, regions))

    fold_region = ("fold", "region")
    by_fold = {"fold_r": scores.fold_r, "inner_r": scores.inner_r}
    arrays: dict[str, tuple[tuple[str, ...], np.ndarray]] = {
        **per_target(("target",), config.dtype, r=scores.r, r2=scores.r2),
        **per_target(("fold", "target"), config.dtype, **by_fold),
        **penalties("alpha", scores.alpha, grid_of(config)),
        "target_region": (("target",), store["target_region"]),
        "noise_ceiling": (("target",), ceiling),
        "region_r": (("region",), mean(scores.r)),
        "region_r2": (("region",), mean(scores.r2)),
        "region_r_median": (("region",), median(scores.r)),
        "region_r_normalised": (("region",), mean(normalised)),
        "region_r_normalised_median": (("region",), median(normalised)),
        "region_fold_r": (fold_region, mean(scores.fold_r)),
        "region_inner_r": (fold_region, mean(scores.inner_r)),
        "region_log10_alpha": (("region",), mean(np.log10(scores.alpha).mean(axis=0))),
        "region_edge_share": (
            ("region",),
            mean(scores.alpha_at_edge.mean(axis=0, dtype=np.float64)),
        ),
    }
    if scores.null_fold_r is not None and scores.null_inner_r is not None:
        axes = ("permutation", "fold", "region")
        arrays["null_fold_r"] = (axes, scores.null_fold_r.astype(np.float32))
        arrays["null_inner_r"] = (axes, scores.null_inner_r.astype(np.float32))
    if scores.boot_fold_r is not None:
        axes = ("bootstrap", "fold", "region")
        arrays["boot_fold_r"] = (axes, scores.boot_fold_r.astype(np.float32))
    return arrays
