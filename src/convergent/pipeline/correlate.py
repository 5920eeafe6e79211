"""Study-wide tables: performance against alignment, trajectories, regions, recovery."""

from __future__ import annotations

import csv
import json
import statistics
from pathlib import Path
from typing import Any

import polars as pl

from convergent.errors import StoreError
from convergent.pipeline.claims import Material, claimed
from convergent.pipeline.data import reader_of, truth_rows
from convergent.pipeline.weights import check_all_distinct
from convergent.store import publish, software
from convergent.study import Study
from convergent.tables.frames import read_table, scan_families, write_table
from convergent.tables.schemas import MODELS_SCHEMA, PERFORMANCE_SCHEMA, TRUTH_SCHEMA


def write_about(study: Study) -> None:
    """Record configuration, families and software versions; no time, so reruns are equal."""
    content: dict[str, Any] = {
        "study": study.name,
        "title": study.config.title,
        "primary": study.config.fit.primary_metric,
        "configuration": study.config.model_dump(mode="json"),
        "families": study.families,
        "identity": study.identity("correlate"),
        "software": software(),
    }
    with publish(study.paths.about) as temporary:
        text = json.dumps(content, indent=1)  # not sorted: the first metric is the primary one
        temporary.write_text(text + "\n", encoding="utf-8")


def correlate(study: Study) -> None:
    """Write the tables of every claim.

    The families' measurements and alignment are scanned and never joined: each claim collects
    what it needs of them.
    """
    check_all_distinct(study)
    for table in ("coverage", "resampled"):  # the small ones
        write_table(study.paths.table(table), [scan_families(study, table).collect()], table)
    ceilings = [
        read_table(study.paths.ceilings(dataset), "ceilings")
        for dataset in sorted(study.config.datasets)
    ]
    write_table(study.paths.table("ceilings"), ceilings, "ceilings")
    material = _material(study)
    for name in ("performance", "models", "simulation_truth"):
        write_table(study.paths.table(name), [getattr(material, name)], name)
    for name, claim in claimed(material):
        with publish(study.paths.table(name)) as temporary:
            claim.write_parquet(temporary)
    write_about(study)


def _material(study: Study) -> Material:
    config = study.config
    return Material(
        alignment=scan_families(study, "alignment"),
        measurements=scan_families(study, "measurements"),
        performance=_performance(study),
        models=models_table(study),
        ceilings=read_table(study.paths.table("ceilings")),
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
        resampled=read_table(study.paths.table("resampled"), "resampled"),
        representations=(
            read_table(study.paths.representations, "representations")
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
    scores = [(s.model, s.checkpoint, s.benchmark, s.score, s.source) for s in study.published]
    for model in study.evaluated_models():
        scores += _measured(study.paths.performance(model))
    rows = []
    for model, checkpoint, benchmark, score, source in scores:
        row, weights = study.model(model), study.checkpoint(model, checkpoint)
        rows.append(
            {
                "study": study.name,
                "modality": row.modality,
                "family": row.family,
                "model": model,
                "checkpoint": checkpoint,
                "role": weights.role,
                "step": weights.step,
                "final": weights.final,
                "parameters": row.parameters,
                "benchmark": benchmark,
                "score": score,
                "source": source,
            }
        )
    return pl.DataFrame(rows, schema=PERFORMANCE_SCHEMA).sort("model", "checkpoint", "benchmark")


def _measured(path: str) -> list[tuple[str, str, str, float, str]]:
    try:
        with Path(path).open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t"))
        return [
            (row["model"], row["checkpoint"], row["benchmark"], float(row["score"]), row["source"])
            for row in rows
        ]
    except FileNotFoundError:
        raise StoreError("the scores are missing", where=path, fix="run its rule") from None
    except (KeyError, ValueError) as error:
        raise StoreError(
            f"the scores are damaged ({error})", where=path, fix="delete it and rerun its rule"
        ) from None


def _truth(study: Study) -> pl.DataFrame:
    rows = [
        {"dataset": dataset, **{name: row[name] for name in TRUTH_SCHEMA if name != "dataset"}}
        for dataset in sorted(study.config.datasets)
        for row in truth_rows(reader_of(study, dataset))
    ]
    return pl.DataFrame(rows, schema=TRUTH_SCHEMA)
