"""Study-wide tables: performance against alignment, trajectories, regions, recovery."""

from __future__ import annotations

import json
import statistics
from typing import Any

import polars as pl

from convergent.pipeline.claims import Material, claimed
from convergent.pipeline.data import reader_of, truth_rows
from convergent.pipeline.evaluate import read_scores
from convergent.pipeline.weights import check_all_distinct
from convergent.store import StoreRequest, publish, software
from convergent.study import Study
from convergent.tables.files import described
from convergent.tables.frames import (
    read_requested,
    scan_families,
    study_request,
    write_requested,
)
from convergent.tables.schemas import MODELS_SCHEMA, PERFORMANCE_SCHEMA, TRUTH_SCHEMA


def write_about(study: Study) -> None:
    """Record configuration, families and software versions; no time, so reruns are equal."""
    request = StoreRequest.of(study, "correlate", {}, path=study.paths.about)
    content: dict[str, Any] = {
        **request.attrs,
        "title": study.config.title,
        "primary": study.config.fit.primary_metric,
        "configuration": study.config.model_dump(mode="json"),
        "families": study.families,
        "identity": study.identity("correlate"),
        "software": software(),
    }
    with publish(request.path) as temporary:
        text = json.dumps(content, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")


def correlate(study: Study) -> None:
    """Write the tables of every claim.

    The families' measurements and alignment are scanned and never joined: each claim collects
    what it needs of them.
    """
    check_all_distinct(study)
    for table in ("coverage", "resampled"):  # the small ones
        write_requested(study_request(study, table), [scan_families(study, table).collect()])
    ceilings = [
        read_requested(StoreRequest.of(study, "ceilings", {"dataset": dataset}))
        for dataset in sorted(study.config.datasets)
    ]
    write_requested(study_request(study, "ceilings"), ceilings)
    material = _material(study)
    for name in ("performance", "models", "simulation_truth"):
        write_requested(study_request(study, name), [getattr(material, name)])
    for name, claim in claimed(material):
        request = study_request(study, name)
        with publish(request.path) as temporary:
            claim.write_parquet(temporary, metadata=described(request.attrs))
    write_about(study)


def _material(study: Study) -> Material:
    config = study.config
    return Material(
        alignment=scan_families(study, "alignment"),
        measurements=scan_families(study, "measurements"),
        performance=_performance(study),
        models=models_table(study),
        ceilings=read_requested(study_request(study, "ceilings")),
        simulation_truth=_truth(study),
        primary=config.fit.primary_metric,
        benchmarks={
            str(modality): [names] if isinstance(names, str) else list(names)
            for modality, names in config.performance.benchmarks.items()
        },
        threshold=config.statistics.ceiling_threshold,
        seed=config.statistics.seed,
        bootstraps=config.statistics.bootstraps,
        permutations=config.statistics.permutations,
        resampled=read_requested(study_request(study, "resampled")),
        representations=(
            read_requested(StoreRequest.of(study, "representations", {}))
            if config.convergence
            else None
        ),
    )


def models_table(study: Study) -> pl.DataFrame:
    """One row a model: what the statistics and the report need of the models table."""
    rows = [
        {
            "model": model.key,
            "family": model.family,
            "modality": model.modality,
            "source": model.source,
            "reference": model.reference,
            "revision": model.revision,
            "parameters": model.parameters,
            "layers": len(model.layers),
            "width": statistics.median(layer.width for layer in model.layers),
            "tags": " ".join(model.tags),
        }
        for _, model in sorted(study.models.items())
    ]
    return pl.DataFrame(rows, schema=MODELS_SCHEMA, strict=False)


def _performance(study: Study) -> pl.DataFrame:
    """Published and measured scores; a score measured here never replaces a published one."""
    scores = list(study.published)
    for model in study.evaluated_models():
        scores += read_scores(study, model)
    rows = []
    for one in scores:
        row, weights = study.model(one.model), study.checkpoint(one.model, one.checkpoint)
        rows.append(
            {
                "study": study.name,
                "modality": row.modality,
                "family": row.family,
                "model": one.model,
                "checkpoint": one.checkpoint,
                "role": weights.role,
                "step": weights.step,
                "final": weights.final,
                "parameters": row.parameters,
                "benchmark": one.benchmark,
                "score": one.score,
                "source": one.source,
            }
        )
    return pl.DataFrame(rows, schema=PERFORMANCE_SCHEMA).sort("model", "checkpoint", "benchmark")


def _truth(study: Study) -> pl.DataFrame:
    rows = [
        {"dataset": dataset, **{name: row[name] for name in TRUTH_SCHEMA if name != "dataset"}}
        for dataset in sorted(study.config.datasets)
        for row in truth_rows(reader_of(study, dataset))
    ]
    return pl.DataFrame(rows, schema=TRUTH_SCHEMA)
