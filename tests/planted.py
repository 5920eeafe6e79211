"""A synthetic study with planted structure, for the tests of statistics, figures and report.

``planted_study(...)`` gives every table that the report reads. Quality of a model drives both
its performance and its alignment in high-level regions; low-level regions answer to any
model; one region answers to nothing. Random twins and a control are there, and one model
has a training trajectory.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

import numpy as np
import polars as pl

from convergent.study.types import COUNTED

REGIONS = (
    # name, hemisphere, network, order, high_level, ceiling, driven
    ("L_V1", "L", "Visual", 0.0, 0.0, 0.6, True),
    ("R_V1", "R", "Visual", 0.0, 0.1, 0.6, True),
    ("L_V2", "L", "Visual", 0.1, 0.2, 0.55, True),
    ("R_V2", "R", "Visual", 0.1, 0.25, 0.55, True),
    ("L_V4", "L", "Visual", 0.3, 0.45, 0.5, True),
    ("R_V4", "R", "Visual", 0.3, 0.5, 0.5, True),
    ("L_FFC", "L", "Ventral", 0.6, 0.75, 0.5, True),
    ("R_FFC", "R", "Ventral", 0.6, 0.8, 0.5, True),
    ("L_TE1p", "L", "Default", 0.8, 0.9, 0.45, True),
    ("R_TE1p", "R", "Default", 0.8, 1.0, 0.45, True),
    ("L_4", "L", "Somatomotor", 0.5, 0.0, 0.0, False),
)
STORY = tuple(
    (name, "", "", float("nan"), 0.5 + 0.05 * i, 0.2, True)
    for i, name in enumerate(("LATL", "RATL", "LPTL", "LIPL", "LPreM", "LIFG"))
)


@dataclass(eq=False)  # equal to itself only, so that what is made from it can be kept
class PlantedStudy:
    models: pl.DataFrame
    alignment: pl.DataFrame
    measurements: pl.DataFrame
    performance: pl.DataFrame
    coverage: pl.DataFrame
    truth: pl.DataFrame

    @property
    def every_metric(self) -> pl.DataFrame:
        """Ridge, CKA at half its scores, and RBF-CKA whose scores rise with the scale."""
        parts = [self.alignment]
        for metric, scale, factor in (
            ("cka", None, 0.5), ("cka_rbf", 0.5, 0.2), ("cka_rbf", 1.0, 0.4), ("cka_rbf", 2.0, 0.6),
        ):  # fmt: skip
            parts.append(
                self.alignment.with_columns(
                    pl.lit(metric).alias("metric"),
                    pl.lit(scale, dtype=pl.Float64).alias("scale"),
                    pl.lit(None, dtype=pl.Float64).alias("score_normalised"),
                    pl.col("score", "score_chance_corrected") * factor,
                )
            )
        return pl.concat(parts)


def _models(modality: str, families: int, per_family: int, rng) -> list[dict]:
    rows = []
    for f in range(families):
        for m in range(per_family):
            rows.append(
                {
                    "model": f"{modality[:3]}-fam{f}-m{m}",
                    "family": f"{modality[:3]}-fam{f}",
                    "modality": modality,
                    "source": "timm",
                    "tags": "coco" if m == 0 else "",
                    "parameters": int(10 ** rng.uniform(6.2, 9.5)),
                    "quality": rng.uniform(0.1, 0.9),
                }
            )
    rows.append(
        {
            "model": f"{modality[:3]}-control",
            "family": "control",
            "modality": modality,
            "source": "baseline",
            "parameters": 0,
            "quality": 0.0,
            "tags": "",
        }
    )
    return rows


@functools.lru_cache(maxsize=16)
def planted_study(
    *,
    families: int = 4,
    per_family: int = 3,
    slope: float = 0.5,
    seed: int = 0,
    layers: int = 6,
    subjects: int = 3,
) -> PlantedStudy:
    rng = np.random.default_rng(seed)
    datasets = (("scenes", "vision", REGIONS), ("story", "language", STORY))
    models, align, measure, perf, cover = [], [], [], [], []
    for dataset, modality, regions in datasets:
        mine = _models(modality, families, per_family, rng)
        models += mine
        for model in mine:
            control = model["source"] == "baseline"
            kinds = [("final", "control" if control else "trained", None, True)]
            if not control:
                kinds += [(f"random-{s}", "random", None, False) for s in range(2)]
            if model["model"].endswith("fam0-m0"):
                kinds[0] = ("final", "trained", 1000, True)
                kinds += [
                    (f"step{s}", "trained" if s else "random", s, False) for s in (0, 1, 10, 100)
                ]
            for checkpoint, role, step, final in kinds:
                quality = 0.0 if role in ("random", "control") else model["quality"]
                if step is not None and not final and step:
                    quality = model["quality"] * np.log10(step + 1) / 3
                if not control:
                    perf.append(
                        {
                            "model": model["model"],
                            "checkpoint": checkpoint,
                            "benchmark": "top1",
                            "score": 0.1 + 0.8 * quality + rng.normal(0, 0.08),
                            "source": "planted",
                            "family": model["family"],
                            "modality": modality,
                            "step": step,
                            "final": final,
                            "role": role,
                            "parameters": model["parameters"],
                        }
                    )
                base = {
                    "study": "planted",
                    "dataset": dataset,
                    "modality": modality,
                    "family": model["family"],
                    "model": model["model"],
                    "checkpoint": checkpoint,
                    "role": role,
                    "step": step,
                    "final": final,
                }
                n_layers = 1 if control else layers
                for s in range(subjects):
                    subject = f"sim{s + 1:02d}"
                    cover.append(
                        {
                            "dataset": dataset,
                            "model": model["model"],
                            "layer": "block.0",
                            "checkpoint": checkpoint,
                            "subject": subject,
                            "status": "ok",
                            "reason": None,
                            **dict.fromkeys(COUNTED, 0),
                            "stimuli": 500,
                            "features": 64,
                        }
                    )
                    for name, hemisphere, network, order, high, ceiling, driven in regions:
                        where = {
                            "subject": subject,
                            "region": name,
                            "hemisphere": hemisphere,
                            "network": network,
                            "axis_position": order,
                            "noise_ceiling": ceiling + rng.normal(0, 0.01) * driven,
                        }
                        top = np.sqrt(ceiling) * (0.3 + slope * high * quality) if driven else 0.0
                        score = top + rng.normal(0, 0.01)
                        for choice, drop in (("best", 0.0), ("fixed", 0.03)):
                            r = score - drop * driven
                            align.append(
                                base
                                | where
                                | {
                                    "choice": choice,
                                    "metric": "ridge_r",
                                    "scale": None,
                                    "score": r,
                                    "score_chance_corrected": r,
                                    "score_normalised": r / np.sqrt(ceiling) if driven else None,
                                    "depth": float(
                                        np.clip(0.2 + 0.7 * high + rng.normal(0, 0.05), 0, 1)
                                    )
                                    if choice == "best"
                                    else 0.5,
                                    "p": 0.0476 if driven else float(rng.uniform()),
                                    "p_permutation": 0.001 if driven else 0.5,
                                    "null_mean": 0.001,
                                    "parameters": model["parameters"],
                                }
                            )
                        for layer in range(n_layers):
                            depth = layer / max(1, n_layers - 1)
                            r = top - 0.25 * (depth - 0.2 - 0.7 * high) ** 2 * driven
                            measure.append(
                                base
                                | where
                                | {
                                    "layer": f"block.{layer}",
                                    "layer_index": layer,
                                    "depth": depth,
                                    "metric": "ridge_r",
                                    "scale": None,
                                    "score": r + rng.normal(0, 0.005),
                                    "score_normalised": r / np.sqrt(ceiling) if driven else None,
                                    "p": 0.05,
                                    "width": 64,
                                    "parameters": model["parameters"],
                                }
                            )
    cover[5] |= {"status": "failed", "reason": "block.0: NaN in the output"}
    truth = pl.DataFrame(
        [
            {
                "dataset": "scenes",
                "region": r[0],
                "high_level": r[4],
                "noise_ceiling": r[5],
                "driven": r[6],
            }
            for r in REGIONS
        ]
    )
    wide = {"infer_schema_length": None}
    return PlantedStudy(
        models=pl.DataFrame(models, **wide),
        alignment=pl.DataFrame(align, **wide).cast({"scale": pl.Float64}),
        measurements=pl.DataFrame(measure, **wide).cast({"scale": pl.Float64}),
        performance=pl.DataFrame(perf, **wide),
        coverage=pl.DataFrame(cover, **wide),
        truth=truth,
    )


CEILINGS = dict.fromkeys(("dataset", "metric", "region"), pl.String) | dict.fromkeys(
    ("scale", "lower", "upper"), pl.Float64) | dict.fromkeys(
    ("n_subjects", "n_stimuli"), pl.Int64)  # fmt: skip
BENCHMARKS = {"vision": "top1", "language": "top1"}
CONFIG = {
    "study": "planted",
    "title": "A planted study",
    "fit": {
        "metrics": {"ridge": None, "cka": None, "cka_rbf": {"scales": [0.5, 1.0, 2.0]}},
        "folds": 5, "inner_folds": 5, "selection": "loo", "permutations": 20, "fixed_depth": 0.5,
        "alphas": {"low": -1.0, "high": 8.0, "number": 19}, "delays": [1, 2, 3, 4],
        "trim_volumes": 5,
    },
    "extraction": {"projection": None, "projection_seed": 0},
    "performance": {"benchmarks": BENCHMARKS},
    "statistics": {"bootstraps": 200, "permutations": 199, "seed": 0, "ceiling_threshold": 0.05},
    "coverage": {"minimum": 0.9},
}  # fmt: skip


def material(study: PlantedStudy, ceilings: pl.DataFrame | None = None):
    from convergent.pipeline.claims import Material

    asked = dict(CONFIG["statistics"])
    return Material(
        alignment=study.every_metric.lazy(),
        measurements=study.measurements.lazy(),
        performance=study.performance,
        models=study.models,
        ceilings=pl.DataFrame(schema=CEILINGS) if ceilings is None else ceilings,
        simulation_truth=study.truth,
        primary="ridge_r",
        benchmarks={modality: [name] for modality, name in BENCHMARKS.items()},
        threshold=asked.pop("ceiling_threshold"),
        **asked,
    )  # fmt: skip


def claim_tables(
    study: PlantedStudy, ceilings: pl.DataFrame | None = None
) -> dict[str, pl.DataFrame]:
    from convergent.pipeline.claims import claimed

    gathered = {name: getattr(study, name) for name in ("performance", "models", "coverage")}
    claims = _claims(study) if ceilings is None else dict(claimed(material(study, ceilings)))
    return gathered | {"simulation_truth": study.truth} | claims


@functools.lru_cache(maxsize=4)  # seconds each, and several modules read the same ones
def _claims(study: PlantedStudy) -> dict[str, pl.DataFrame]:
    from convergent.pipeline.claims import claimed

    return dict(claimed(material(study)))


def only(study: PlantedStudy, models: list[str]) -> PlantedStudy:
    """The study with a few of its models, and nothing planted."""
    kept = {
        name: getattr(study, name).filter(pl.col("model").is_in(models))
        for name in ("alignment", "measurements", "performance", "models", "coverage")
    }
    return dataclasses.replace(study, **kept, truth=study.truth.clear())


def report_inputs(study: PlantedStudy, ceilings: pl.DataFrame | None = None):
    from convergent.report import DatasetFacts, ReportInputs

    subjects = ("sim01", "sim02", "sim03")
    return ReportInputs(
        study="planted",
        title="Do better models align better? <A planted study>",
        description="Synthetic tables that exercise every part of the report.",
        config=CONFIG,
        datasets=[
            DatasetFacts("scenes", "vision", "items", subjects, True, stimuli=400, regions=11,
                         licence="CC0", citation="none; simulated"),
            DatasetFacts("story", "language", "story", subjects, False, stimuli=2127, regions=6,
                         licence="CC BY 4.0", citation="An author (2020), A story."),
        ],
        tables=claim_tables(study, ceilings),
        provenance={"code": "0.1.0", "configuration sha256": "ab" * 32, "python": "3.11"},
    )  # fmt: skip
