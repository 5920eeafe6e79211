"""From alignment stores to tables: one model, then one family."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl

from convergent.alignment import choose_layers, mean_defined
from convergent.pipeline.layer_selection import Choosing
from convergent.pipeline.scores import Scores, scores_of
from convergent.pipeline.workers import Workers, workers
from convergent.store import Sources, Store, StoreRequest, read_store
from convergent.study import Layer, Model, Study, Unit
from convergent.study.graph import MODEL_TABLES
from convergent.tables.files import check_tables, copy_rows, datasets_in, writing_requested
from convergent.tables.frames import (
    RESAMPLED_SCHEMA,
    against_null,
    family_request,
    frame,
    keys,
    model_request,
    regions,
    share_of_ceiling,
    write_requested,
)
from convergent.tables.schemas import COVERAGE_SCHEMA, MEASUREMENT_SCHEMA

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


def measure(study: Study, model: str) -> None:
    """Write one model's measurements, its alignment with layers chosen, and its coverage.

    Layers are read in turn and let go: memory grows with neither layers nor targets.
    """
    row = study.model(model)
    members: dict[tuple[str, str], list[str]] = {}
    for dataset, _, checkpoint, name in study.members(Unit(model)):
        members.setdefault((dataset, checkpoint), []).append(name)
    coverage: list[dict[str, Any]] = []
    sources = Sources(study)
    asked = {table: model_request(study, model, table) for table in MODEL_TABLES}
    with (
        writing_requested(asked["measurements"]) as measurements,
        writing_requested(asked["alignment"]) as alignment,
        writing_requested(asked["resampled"]) as curves,
        workers(study.config.aggregation, study.paths.worker_logs) as readers,
    ):
        for (dataset, checkpoint), names in sorted(members.items()):
            choosing = Choosing(study, row, dataset, checkpoint)
            resamples: Stores = {}
            for layer, stores in _read(
                study, readers, sources, row, dataset, checkpoint, names, coverage
            ):
                frames = [_measurements(study, row, key, store) for key, store in stores.items()]
                measurements.write(pl.concat(frames))
                for key, store in stores.items():
                    choosing.add(layer, key[3], store)
                if "ridge" in study.config.fit.metrics:
                    resamples |= {key: of_resamples(store) for key, store in stores.items()}
            if chosen := choosing.frames():
                alignment.write(pl.concat(chosen))
            if drawn := resampled(study, row, resamples):
                curves.write(pl.concat(drawn))
    write_requested(asked["coverage"], [pl.DataFrame(coverage, schema=COVERAGE_SCHEMA)])


def gather_family(study: Study, family: str) -> None:
    """Join the tables of a family's models, a row group at a time."""
    for table in MODEL_TABLES:
        models = sorted(study.family(family))
        paths = check_tables(model_request(study, model, table) for model in models)
        with writing_requested(family_request(study, family, table)) as file:
            for dataset in datasets_in(paths):
                for path in paths:
                    copy_rows(file, path, dataset)


def _read(
    study: Study,
    readers: Workers,
    sources: Sources,
    model: Model,
    dataset: str,
    checkpoint: str,
    layers: list[str],
    coverage: list[dict[str, Any]],
) -> Iterator[tuple[Layer, Stores]]:
    """Stores of a layer that hold scores, layer after layer; every one is added to the coverage."""
    subjects = sorted(study.dataset(dataset).subjects)
    known = [study.layer(model.key, name) for name in layers]
    known.sort(key=lambda layer: (layer.index, layer.name))
    keys = {"dataset": dataset, "model": model.key, "checkpoint": checkpoint}
    asked = (
        request.absolute()
        for layer in known
        for request in StoreRequest.alignments(
            study, {**keys, "layer": layer.name}, subjects, sources
        )
    )
    found = readers.each(_of_regions, asked)
    for layer in known:
        stores: Stores = {}
        for subject in subjects:
            store = next(found)
            coverage.append(
                {
                    "dataset": dataset,
                    "family": model.family,
                    "model": model.key,
                    "checkpoint": checkpoint,
                    "layer": layer.name,
                    "subject": subject,
                    "status": store.attrs["status"],
                    "reason": store.attrs["reason"] or None,
                    **store.attrs["counted"],
                }
            )
            if store.attrs["status"] == "ok":
                stores[dataset, checkpoint, layer.name, subject] = store
        if stores:
            yield layer, stores


def _of_regions(asked: StoreRequest) -> Store:
    """What a store says of regions: with 40,000 targets a hundredth of it."""
    return read_store(asked, wanted=lambda _, dims: "target" not in dims)


def _measurements(
    study: Study, model: Model, key: tuple[str, str, str, str], store: Store
) -> pl.DataFrame:
    """One row a region, metric and scale of one store."""
    dataset, checkpoint, name, subject = key
    layer = study.layer(model.key, name)
    common = {
        **keys(study, model, dataset, study.checkpoint(model.key, checkpoint)),
        "layer": layer.name,
        "layer_index": layer.index,
        "depth": layer.depth,
        "subject": subject,
        **regions(store),
        "noise_ceiling": store["region_noise_ceiling"],
        "n_targets": store["region_targets"],
        "width": store.attrs["width"],
        "n_features": store.attrs["n_features"],
        "effective_dimensionality": store.attrs["effective_dimensionality"],
        "parameters": model.parameters,
        "tags": " ".join(model.tags),
        "weights_sha256": store.attrs["weights_sha256"],
    }
    parts = []
    for scores in scores_of(store, study.config.fit):
        row = {**common, "metric": scores.metric, "scale": scores.scale, "score": scores.score}
        row |= against_null(scores.score, scores.null)
        if scores.metric == "ridge_r":
            row |= _of_ridge(study, store, scores)
            parts.append({**common, "metric": "ridge_r2", "score": store["region_r2"]})
        if scores.metric == "unique":
            row |= _normalised(study, store, scores) | {
                "selection_score": mean_defined(scores.inner, axis=0)
            }
            parts += [
                {**common, "metric": name, "score": store[f"region_{name}"]}
                for name in ("unique_r", "nuisance_r2")
            ]
        parts.append(row)
    return pl.concat([frame(part, MEASUREMENT_SCHEMA) for part in parts])


def _normalised(study: Study, store: Store, scores: Scores) -> dict[str, Any]:
    share = share_of_ceiling(
        scores.metric,
        scores.score,
        store["region_noise_ceiling"],
        threshold=study.config.statistics.ceiling_threshold,
    )
    return {"score_normalised": share}


def _of_ridge(study: Study, store: Store, scores: Scores) -> dict[str, Any]:
    """What only encoding models have."""
    return {
        **_normalised(study, store, scores),
        "score_median": store["region_r_median"],
        "selection_score": mean_defined(scores.inner, axis=0),
        "log10_alpha": store["region_log10_alpha"],
        "alpha_edge_share": store["region_edge_share"],
    }
