"""Do vision and language models represent the same stimuli alike? Layer against layer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from convergent.alignment import Problem, item_orders
from convergent.errors import ConfigError, IdError
from convergent.pipeline.data import read_features, read_stimuli
from convergent.pipeline.samples import features_of_items
from convergent.store import Sources, StoreRequest
from convergent.study import Study, converging_layers
from convergent.tables.frames import against_null, write_requested
from convergent.tables.schemas import REPRESENTATIONS_SCHEMA

log = logging.getLogger(__name__)

# With fewer common items similarity is mostly noise.
FEWEST = 16


@dataclass(frozen=True)
class _Layer:
    """One layer of one model, and its features of the items by id."""

    model: str
    family: str
    name: str
    depth: float
    ids: np.ndarray
    features: np.ndarray


def representations(study: Study) -> None:
    """Compare the layers that ``convergence`` names, and write one row a pair of layers.

    The metric is linear CKA with the unbiased estimator, and its null permutes the items of the
    language models.

    Raises
    ------
    ConfigError
        The data sets share too few items.
    """
    section = study.config.convergence
    assert section is not None
    vision, language = (_layers(study, dataset) for dataset in section.datasets)
    every = [set(layer.ids.tolist()) for layer in (*vision, *language)]
    common = np.array(sorted(set.intersection(*every) if every else set()))
    if len(common) < FEWEST:
        raise ConfigError(
            f"{len(common)} items are common to the data sets {' and '.join(section.datasets)}",
            where="convergence",
            fix="name data sets whose stimuli (or items) have the same ids",
        )
    fit = study.config.fit
    if len(common) > section.stimuli:
        drawn = np.random.default_rng(fit.seed).permutation(len(common))[: section.stimuli]
        common = common[np.sort(drawn)]
    log.info("%d vision and %d language layers, %d items", len(vision), len(language), len(common))
    rows = _compare(vision, language, common, fit.permutations, fit.seed, section.datasets)
    table = pl.DataFrame(rows, schema=REPRESENTATIONS_SCHEMA)
    request = StoreRequest.of(study, "representations", {}, path=study.paths.representations)
    write_requested(request, [table])


def _layers(study: Study, dataset: str) -> list[_Layer]:
    stimuli, sources = read_stimuli(study, dataset), Sources(study)
    found = []
    for model, checkpoint, name in converging_layers(study, dataset):
        where = f"features of '{model}', layer '{name}' for '{dataset}'"
        store = read_features(study, sources, dataset, model, checkpoint, name)
        if store.attrs["status"] != "ok":
            log.warning("%s: left out (%s)", where, store.attrs["reason"])
            continue
        if store.attrs["stimuli_sha256"] != stimuli.digest:
            raise IdError("features of another stimulus set", where=where, fix="rerun extraction")
        values, ids = features_of_items(store, stimuli)
        layer, row = study.layer(model, name), study.model(model)
        found.append(_Layer(model, row.family, name, layer.depth, ids, values))
    return found


def _rows_of(layer: _Layer, items: np.ndarray) -> np.ndarray:
    order = np.argsort(layer.ids, kind="stable")
    at = order[np.searchsorted(layer.ids[order], items)]
    return layer.features[at].astype(np.float32)


def _compare(
    vision: Sequence[_Layer],
    language: Sequence[_Layer],
    items: np.ndarray,
    permutations: int,
    seed: int,
    datasets: tuple[str, str],
) -> list[dict[str, Any]]:
    """Compare every layer of the one with every layer of the other, a language model at a time."""
    from convergent.alignment.similarity import compare_layers

    orders = item_orders(items, permutations=permutations, seed=seed) if permutations else None
    features = [_rows_of(layer, items) for layer in vision]
    rows: list[dict[str, Any]] = []
    for model in dict.fromkeys(layer.model for layer in language):
        mine = [layer for layer in language if layer.model == model]
        parts = [_rows_of(layer, items) for layer in mine]
        index = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
        problem = Problem(np.concatenate(parts, axis=1), orders, index)
        # a language model's layers take the place of a subject's regions
        found = compare_layers(features, [problem], len(mine), {"cka": None})
        for one, (scores,) in zip(vision, found, strict=True):
            cka = scores["cka"]
            null = None if cka.null is None else cka.null[:, 0]
            told = against_null(cka.score[0], null)
            for k, other in enumerate(mine):
                rows.append(
                    {
                        "dataset": datasets[0],
                        **_names("", one),
                        "other_dataset": datasets[1],
                        **_names("other_", other),
                        "cka": float(cka.score[0, k]),
                        **{name: float(values[k]) for name, values in told.items()},
                        "n_items": len(items),
                    }
                )
    return rows


def _names(prefix: str, layer: _Layer) -> dict[str, Any]:
    return {
        f"{prefix}family": layer.family,
        f"{prefix}model": layer.model,
        f"{prefix}layer": layer.name,
        f"{prefix}depth": layer.depth,
    }
