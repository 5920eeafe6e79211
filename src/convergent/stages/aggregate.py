"""From alignment stores to tables: one model, then one family."""

from __future__ import annotations

from typing import Any

import polars as pl

from convergent.alignment import mean_defined
from convergent.stages.choice import choices
from convergent.stages.tables import (
    ALIGNMENT_SCHEMA,
    COVERAGE_SCHEMA,
    MEASUREMENT_SCHEMA,
    SCHEMAS,
    against_null,
    frame,
    keys,
    normalised,
    read_table,
    regions,
    write_table,
)
from convergent.store import Store, read_store
from convergent.study import Model, Study, Unit


def measure(study: Study, model: str) -> None:
    """Write one model's measurements, its alignment with layers chosen, and its coverage."""
    row = study.model(model)
    stores: dict[tuple[str, str, str, str], Store] = {}
    coverage: list[dict[str, Any]] = []
    for dataset, _, checkpoint, layer in study.members(Unit(model)):
        for subject in study.dataset(dataset).subjects:
            where = (
                f"model '{model}', checkpoint '{checkpoint}', layer '{layer}', subject '{subject}'"
            )
            path = study.paths.alignment(dataset, model, checkpoint, layer, subject)
            store = read_store(path, "alignment", where=where)
            coverage.append(
                {
                    "dataset": dataset,
                    "family": row.family,
                    "model": model,
                    "checkpoint": checkpoint,
                    "layer": layer,
                    "subject": subject,
                    "status": store.attrs["status"],
                    "reason": store.attrs["reason"] or None,
                }
            )
            if store.attrs["status"] == "ok":
                stores[dataset, checkpoint, layer, subject] = store
    frames = [_measurements(study, row, key, store) for key, store in stores.items()]
    write_table(study.paths.model(model), frames, MEASUREMENT_SCHEMA)
    write_table(
        study.paths.model(model, "alignment"), choices(study, row, stores), ALIGNMENT_SCHEMA
    )
    write_table(
        study.paths.model(model, "coverage"),
        [pl.DataFrame(coverage, schema=COVERAGE_SCHEMA)],
        COVERAGE_SCHEMA,
    )


def gather_family(study: Study, family: str) -> None:
    """Join the tables of a family's models."""
    for table, schema in SCHEMAS.items():
        frames = [read_table(study.paths.model(model, table)) for model in study.family(family)]
        write_table(study.paths.family(family, table), frames, schema)


def _measurements(
    study: Study, model: Model, key: tuple[str, str, str, str], store: Store
) -> pl.DataFrame:
    """One row a region and metric of one store."""
    dataset, checkpoint, name, subject = key
    layer = study.layer(model.key, name)
    null = store.arrays.get("null_fold_r")
    null_r = None if null is None else mean_defined(null, axis=1)
    common = {
        **keys(study, model, dataset, study.checkpoint(model.key, checkpoint)),
        "layer": layer.name,
        "layer_index": layer.index,
        "depth": layer.depth,
        "subject": subject,
        **regions(store),
        "noise_ceiling": store["region_noise_ceiling"],
        "n_targets": store["region_targets"],
        "log10_alpha": store["region_log10_alpha"],
        "alpha_edge_share": store["region_edge_share"],
        "width": store.attrs["width"],
        "n_features": store.attrs["n_features"],
        "effective_dimensionality": store.attrs["effective_dimensionality"],
        "parameters": model.parameters,
        "tags": " ".join(model.tags),
        "weights_sha256": store.attrs["weights_sha256"],
    }
    # the same definition as in the layer choice: mean over folds of the regions' means
    score = mean_defined(store["region_fold_r"], axis=0)
    inner = mean_defined(store["region_inner_r"], axis=0)
    r = {**common, "metric": "ridge_r", "score": score, "inner_score": inner}
    r |= against_null(score, null_r)
    r["score_normalised"] = normalised(study, score, store["region_noise_ceiling"])
    r2 = {**common, "metric": "ridge_r2", "score": store["region_r2"]}
    return pl.concat([frame(part, MEASUREMENT_SCHEMA) for part in (r, r2)])
