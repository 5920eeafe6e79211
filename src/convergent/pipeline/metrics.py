"""Every metric that a study lists: whether its data can answer it, and its scores of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from convergent.alignment import (
    Problem,
    RidgeScores,
    UniqueScores,
    alpha_grid,
    fir,
    fit_subjects,
    fit_unique,
    normalise_by_ceiling,
    region_means,
    region_medians,
)
from convergent.brains import DatasetReader, Responses, StimulusSet, align
from convergent.errors import ConfigError, ConvergentError, IdError, did_you_mean
from convergent.pipeline.data import reader_of
from convergent.pipeline.samples import Samples
from convergent.pipeline.scores import region_index
from convergent.store import Store, rows_of
from convergent.store.zarr_format import Arrays
from convergent.study import FitConfig, Study

if TYPE_CHECKING:
    from convergent.alignment.similarity import SimilarityScores


def compared(brain: Responses) -> Any:
    """Responses as similarity metrics take them, dissimilarities marked as such."""
    if brain.kind == "patterns":
        return brain.data
    from convergent.alignment.similarity import Dissimilarities

    return Dissimilarities(np.asarray(brain.data))


def check_metrics_of(brain: Responses, config: FitConfig) -> None:
    """Refuse metrics that need patterns where there are dissimilarities.

    Raises
    ------
    ConfigError
    """
    for mistake in _of_kind(brain.dataset, brain.kind, config):
        raise mistake


def metric_mistakes(study: Study) -> list[ConvergentError]:
    """Metrics that a data set of the study cannot answer to; nothing is read from disk."""
    config = study.config.fit
    readers = {name: reader_of(study, name) for name in study.config.datasets}
    mistakes: list[ConvergentError] = []
    for name, reader in readers.items():
        mistakes += _of_kind(name, getattr(reader, "kind", "patterns"), config)
    if config.unique is not None:
        mistakes += _of_nuisance(study, readers, config.unique.nuisance)
    return mistakes


def _of_kind(dataset: str, kind: str, config: FitConfig) -> list[ConfigError]:
    if kind == "patterns":
        return []
    from convergent.alignment.similarity import compares_dissimilarities, of_dissimilarities

    known = of_dissimilarities()
    return [
        ConfigError(
            f"metric '{name}' needs responses, and the data set has dissimilarities of items alone",
            where=f"data set '{dataset}', fit.metrics",
            fix=f"use {', '.join(known)} in a study of its own",
        )
        for name in config.metrics
        if not compares_dissimilarities(name)
    ]


def _of_nuisance(
    study: Study, readers: dict[str, DatasetReader], names: tuple[str, ...]
) -> list[ConvergentError]:
    given: dict[str, tuple[str, ...]] = {
        dataset: getattr(reader, "nuisance_names", ()) for dataset, reader in readers.items()
    }
    every = sorted({name for known in given.values() for name in known})
    where = "fit.metrics.unique"
    mistakes: list[ConvergentError] = [
        ConfigError(
            f"no data set gives a regressor '{name}'", where=where, fix=did_you_mean(name, every)
        )
        for name in names
        if name not in every
    ]
    mistakes += [
        ConfigError(
            "nothing that 'unique' names is there to add to",
            where=f"data set '{dataset}', {where}",
            fix=f"name baselines of its modality, or its regressors: {', '.join(known) or 'none'}",
        )
        for dataset, known in given.items()
        if not set(names) & set(known) and not study.nuisance_baselines(dataset)
    ]
    return mistakes


def per_target(
    dims: tuple[str, ...], dtype: Literal["float64", "float32"], **values: np.ndarray
) -> Arrays:
    """Keep scores with the digits that they were computed with.

    Parameters
    ----------
    dims : tuple of str
        Axis names; the last is ``target``.
    dtype : {"float64", "float32"}
        Precision of the fit.
    **values : ndarray of float64
        Scores, by the name that they get in the store.

    Returns
    -------
    dict of str to (dims, ndarray of ``dtype``)
    """
    return {name: (dims, array.astype(dtype)) for name, array in values.items()}


def penalties(name: str, chosen: np.ndarray, grid: np.ndarray) -> Arrays:
    """Keep chosen penalties as places in their grid.

    Parameters
    ----------
    name : str
        Such as ``alpha``.
    chosen : ndarray of float64, shape (fold, target)
        Members of the grid; NaN for a target whose responses do not vary.
    grid : ndarray of float64, shape (alpha,)
        Ascending.

    Returns
    -------
    dict of str to (dims, ndarray)
        ``<name>_grid``, the grid itself, and ``<name>_index``, integers; -1 is a target without a
        penalty. ``grid[index]`` are the penalties of the others, to the last digit.
    """
    known = ~np.isnan(chosen)
    index = np.searchsorted(grid, np.where(known, chosen, grid[0]))
    assert (grid[index[known]] == chosen[known]).all(), f"{name} is not of its grid"
    narrow = np.where(known, index, -1).astype(np.min_scalar_type(-len(grid)))
    return {
        f"{name}_grid": ((f"{name}_grid",), grid),
        f"{name}_index": (("fold", "target"), narrow),
    }


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


def nuisance_of(
    samples: Samples,
    brain: Responses,
    stimuli: StimulusSet,
    baselines: Sequence[Store],
    config: FitConfig,
) -> np.ndarray:
    """Nuisance regressors of one subject's samples, side by side, (sample, column).

    Regressors of the data come by the rows of the responses, and are delayed where they are in
    the time of the stimulus (with their mean before the first volume). Baselines are joined as
    the features of a model are: by id, or by time with the same resampling and delays.

    Raises
    ------
    ConfigError
        Nothing of what `unique` names exists for this data set.
    IdError
        A baseline of another stimulus set, or without some of the items.
    """
    unique = config.unique
    assert unique is not None
    where = f"data set '{brain.dataset}', subject '{brain.subject}'"
    blocks = []
    if brain.nuisance is not None:
        chosen = brain.nuisance.only(unique.nuisance)
        values = chosen.values[samples.rows]
        blocks.append(values[:, ~chosen.delayed])
        if chosen.delayed.any():
            late = values[:, chosen.delayed]
            blocks.append(_late(late, config.delays) if samples.ids is None else late)
    for store in baselines:
        named = f"{where}, nuisance '{store.attrs['model']}'"
        if store.attrs["stimuli_sha256"] != stimuli.digest:
            raise IdError("features of another stimulus set", where=named, fix="rerun extraction")
        other = Samples.join(store, stimuli, brain, config)
        if samples.ids is None or other.ids is None:
            blocks.append(other.features)
        else:
            blocks.append(other.features[align(other.ids, samples.ids, where=named)])
    found = [block for block in blocks if block.shape[1]]
    if not found:
        raise ConfigError(
            "none of the nuisance that fit.metrics.unique names exists",
            where=where,
            fix="name regressors of the data set, or baselines of its modality",
        )
    return np.hstack(found)


def _late(values: np.ndarray, delays: Sequence[int]) -> np.ndarray:
    """Delay regressors of which nothing is known before the first volume but their mean."""
    longest = max(delays)
    earlier = np.broadcast_to(values.mean(axis=0), (longest, values.shape[1]))
    return fir(np.concatenate([earlier, values]), delays, before=longest)


# Of the grid of penalties, every third is tried for the nuisance: each costs a factorisation.
NUISANCE_STEP = 3


def unique(
    samples: Samples,
    brains: Sequence[Responses],
    stores: Sequence[Store],
    stimuli: StimulusSet,
    baselines: Sequence[Store],
    config: FitConfig,
) -> tuple[list[Arrays], Facts]:
    """Fit nuisance alone and with the layer; arrays a subject, and facts for the attributes."""
    alphas = grid_of(config)
    arrays = []
    columns = 0
    for brain, store in zip(brains, stores, strict=True):
        nuisance = nuisance_of(samples, brain, stimuli, baselines, config)
        columns = nuisance.shape[1]
        scores = fit_unique(
            samples.features,
            nuisance,
            rows_of(brain.data, samples.rows),
            samples.splits(config),
            inner_splits=samples.inner_splits(config),
            alphas=alphas,
            nuisance_alphas=alphas[::NUISANCE_STEP],
            standardize=config.standardize,
            device=config.device,
        )
        arrays.append(_arrays(scores, store, config))
    return arrays, {"nuisance_columns": columns}


def _arrays(scores: UniqueScores, store: Store, config: FitConfig) -> Arrays:
    index, regions = region_index(store), len(store["region"])

    def mean(values: np.ndarray) -> np.ndarray:
        return np.asarray(region_means(values, index, regions))

    fold_region = ("fold", "region")
    alphas = grid_of(config)
    of_targets = {"unique": "unique", "unique_r": "partial_r", "nuisance_r2": "nuisance_r2"}
    return {
        **per_target(
            ("target",),
            config.dtype,
            **{name: scores.mean(part) for name, part in of_targets.items()},
        ),
        **penalties("unique_alpha", scores.alpha, alphas),
        **penalties("nuisance_alpha", scores.nuisance_alpha, alphas[::NUISANCE_STEP]),
        "region_unique_fold": (fold_region, mean(scores.unique)),
        "region_unique_inner": (fold_region, mean(scores.inner_unique)),
        "region_unique_r": (("region",), mean(scores.mean("partial_r"))),
        "region_nuisance_r2": (("region",), mean(scores.mean("nuisance_r2"))),
    }
