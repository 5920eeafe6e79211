"""Alignment of checkpoints over resampled stimuli: the noise of training curves."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from convergent.alignment import choose_layers, mean_defined
from convergent.stages.tables import RESAMPLED_SCHEMA
from convergent.store import Store
from convergent.study import Model, Study

Stores = dict[tuple[str, str, str, str], Store]


_NEEDED = ("region_inner_r", "region_fold_r", "region_noise_ceiling", "boot_fold_r")


def of_resamples(store: Store) -> Store:
    """What `resampled` needs of a store: nothing where nothing was resampled."""
    needed = _NEEDED if "boot_fold_r" in store.arrays else ()
    return Store(store.path, {name: store[name] for name in needed}, {}, {})


def resampled(study: Study, model: Model, stores: Stores) -> list[pl.DataFrame]:
    """Mean over regions above the noise-ceiling threshold, one row a resample and choice of layers.

    Layers are those that the alignment table chooses: by the training samples of each fold, which
    are not resampled, or at the fixed depth.

    Parameters
    ----------
    study : Study
    model : Model
    stores : dict of (dataset, checkpoint, layer, subject) to Store

    Returns
    -------
    list of DataFrame
        One a data set, checkpoint, subject and choice; none where nothing was resampled.
    """
    frames = []
    places = dict.fromkeys((key[0], key[1], key[3]) for key in stores)
    for dataset, checkpoint, subject in places:
        layers = [
            (layer.depth, store)
            for layer in model.layers
            if (store := stores.get((dataset, checkpoint, layer.name, subject))) is not None
            and "boot_fold_r" in store.arrays
        ]
        if not layers:
            continue
        chosen = {"best": _best(layers), "fixed": _fixed(layers, study.config.fit.fixed_depth)}
        counted = _counted(layers[0][1], study.config.statistics.ceiling_threshold)
        for choice, scores in chosen.items():
            alignment = mean_defined(scores[:, counted], axis=1)
            columns: dict[str, Any] = {
                "dataset": dataset, "family": model.family, "model": model.key,
                "checkpoint": checkpoint, "subject": subject, "choice": choice,
                "resample": np.arange(len(alignment)), "alignment": alignment,
            }  # fmt: skip
            frame = pl.DataFrame(columns, schema=RESAMPLED_SCHEMA)
            frames.append(frame.with_columns(pl.col("alignment").fill_nan(None)))
    return frames


def _best(layers: list[tuple[float, Store]]) -> np.ndarray:
    """Score of the layers chosen fold by fold on training samples, (bootstrap, region)."""
    inner = np.stack([store["region_inner_r"] for _, store in layers])
    outer = np.stack([store["region_fold_r"] for _, store in layers])
    chosen = choose_layers(inner, outer).layer
    drawn = np.stack([store["boot_fold_r"] for _, store in layers]).astype(np.float64)
    picked = np.take_along_axis(drawn, np.maximum(chosen, 0)[None, None], axis=0)[0]
    return mean_defined(np.where(chosen < 0, np.nan, picked), axis=1)


def _fixed(layers: list[tuple[float, Store]], depth: float) -> np.ndarray:
    nearest = int(np.abs(np.array([at for at, _ in layers]) - depth).argmin())
    return mean_defined(layers[nearest][1]["boot_fold_r"], axis=1)


def _counted(store: Store, threshold: float) -> np.ndarray:
    """Regions with something to explain; all where no ceiling is known."""
    ceiling = store["region_noise_ceiling"]
    if np.isnan(ceiling).all():
        return np.ones(ceiling.shape, dtype=bool)
    return np.asarray(ceiling >= threshold)
