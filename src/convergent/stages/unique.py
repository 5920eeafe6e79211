"""Variance that layers explain beyond nuisance, from one read of their features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convergent.alignment import UniqueScores, fit_unique, region_means
from convergent.brains import Responses, StimulusSet
from convergent.stages.metrics import Facts, grid_of
from convergent.stages.narrow import penalties, per_target
from convergent.stages.nuisance import nuisance_of
from convergent.stages.samples import Samples
from convergent.stages.scores import region_index
from convergent.store import Store, rows_of
from convergent.study import FitConfig
from convergent.zarr_format import Arrays

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
