"""A study of 60 million measurements: written, asked, correlated, compared and reported.

    python benchmarks/tables.py                     # 60 million rows of 600 models, 2 threads
    python benchmarks/tables.py --rows 2000000      # a try
    python benchmarks/tables.py --steps write query-duckdb --folder /scratch/tables --keep

Rows are made up in the real schema (HCP-MMP1 areas, six layers, four subjects, ridge, CKA, RSA and
RBF-CKA at seven bandwidths; alignment rises with performance) and written by the code that the
workflow runs. Each step is a process of its own. Prints its wall time and its peak memory (resident
set, with imports) and, for correlate, those of each claim.

write         families' measurements and alignment, checked and sorted, and the small tables
query-duckdb  mean by model and region; by metric and scale; the ten best layers
query-polars  the same
correlate     the study's claims, from lazy scans
cube          measurements as labelled float32 arrays, one a data set
compare       the study with itself, every score subtracted
report        figures and the page, from the reduced tables
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl

from convergent.study.paths import Paths
from convergent.study.types import COUNTED
from convergent.tables.files import scan_tables, writing
from convergent.tables.frames import write_table
from convergent.tables.schemas import ALIGNMENT_SCHEMA, CEILING_SCHEMA, MEASUREMENT_SCHEMA, SHAPES

IDENTITY = "0" * 16  # of tables that no study made
STEPS = ("write", "query-duckdb", "query-polars", "correlate", "cube", "compare", "report")
SUBJECTS = ("subj01", "subj02", "subj05", "subj07")
SCALES = (0.25, 0.5, 0.71, 1.0, 1.41, 2.0, 4.0)
KINDS = (("cka", None), *(("cka_rbf", s) for s in SCALES), ("ridge_r", None), ("ridge_r2", None),
         ("rsa_spearman", None))  # fmt: skip
LAYERS = 6
MODALITIES = {"vision": "scenes", "language": "sentences"}
BENCHMARKS = {"vision": ["imagenet_top1"], "language": ["bits_per_byte"]}
PER_FAMILY = 10
STEPS_OF_TRAINING = (0, 1, 10, 100, 1000, 10_000, 50_000, 100_000)
QUESTIONS = {
    "mean by model and region": "SELECT model, region, avg(score) AS score FROM measurements "
    "WHERE metric = 'ridge_r' GROUP BY ALL",
    "mean by metric and scale": "SELECT metric, scale, avg(score) AS score, "
    "avg(score_chance_corrected) AS calibrated, count(*) AS n FROM measurements GROUP BY ALL",
    "ten best layers": "SELECT model, layer, avg(score) AS score FROM measurements "
    "WHERE metric = 'cka' AND network = 'Visual' GROUP BY ALL ORDER BY score DESC LIMIT 10",
}


def models(rows: int) -> Iterator[dict]:
    """Models whose measurements are about so many rows, a training run in every 150."""
    each = LAYERS * len(SUBJECTS) * 360 * len(KINDS)
    rng = np.random.default_rng(0)
    left, index = max(2, rows // each), 0
    while left > 0:
        modality = ("vision", "language")[index % 2]
        family = f"{modality}-{index // (2 * PER_FAMILY):02d}"
        steps = STEPS_OF_TRAINING if index % 150 < 2 else (None,)
        yield {
            "model": f"{family}-m{index // 2 % PER_FAMILY}", "family": family,
            "modality": modality, "dataset": MODALITIES[modality], "steps": steps,
            "index": index, "quality": float(rng.uniform()),
            "parameters": int(10 ** rng.uniform(6.5, 10.5)),
        }  # fmt: skip
        left -= len(steps)
        index += 1


def grid(**axes: list) -> pl.DataFrame:
    """Every combination, the last axis fastest; each axis is a frame."""
    found: pl.DataFrame | None = None
    for frame in axes.values():
        found = frame if found is None else found.join(frame, how="cross")
    return found


def places() -> dict[str, pl.DataFrame]:
    from convergent.brains import open_dataset
    from convergent.study import DatasetConfig

    reader = open_dataset(
        "scenes",
        DatasetConfig(
            reader="simulated-scenes", modality="vision", design="items", subjects=("sim01",)
        ),
    )
    regions = sorted(reader.regions(), key=lambda region: region.name)
    kinds = pl.DataFrame(KINDS, schema={"metric": pl.String, "scale": pl.Float64}, orient="row")
    return {
        "subject": pl.DataFrame({"subject": SUBJECTS}),
        "region": pl.DataFrame(
            {
                "region": [r.name for r in regions],
                "hemisphere": [r.hemisphere for r in regions],
                "network": [r.network for r in regions],
                "axis_position": [float(r.order) for r in regions],
            }
        ),
        "kind": kinds.sort("metric", "scale"),
    }


class Maker:
    """Made-up rows of one checkpoint: scores rise with quality, less so in early areas."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(1)
        where = places()
        layers = pl.DataFrame(
            {
                "layer": [f"blocks.{i}" for i in range(LAYERS)],
                "layer_index": range(LAYERS),
                "depth": [i / (LAYERS - 1) for i in range(LAYERS)],
            }
        )
        self.layers = grid(layer=layers, **where)
        choices = pl.DataFrame({"choice": ["best", "fixed"]})
        self.chosen = grid(choice=choices, **where).filter(pl.col("metric") != "ridge_r2")

    def rows(self, base: pl.DataFrame, quality: float, row: dict, schema: dict) -> pl.DataFrame:
        n = base.height
        order = base["axis_position"].to_numpy()
        depth = base["depth"].to_numpy() if "depth" in base.columns else 0.3 + 0.5 * order
        high = 0.3 + 0.4 * quality * (0.3 + 0.7 * order) - 0.2 * (depth - 0.2 - 0.6 * order) ** 2
        ridge = base["metric"].str.starts_with("ridge_r").to_numpy()
        score = high * np.where(ridge, 1.0, 0.4) + self.rng.normal(0, 0.02, n)
        ceiling = 0.3 + 0.3 * (1 - order)
        constants = {
            "study": "tables", "dataset": row["dataset"], "modality": row["modality"],
            "family": row["family"], "model": row["model"], "checkpoint": row["checkpoint"],
            "role": row["role"], "step": row["step"], "final": row["final"],
            "parameters": row["parameters"], "tags": "", "n_targets": 100, "width": 768,
            "n_features": 768, "effective_dimensionality": 40.0, "log10_alpha": 3.0,
            "alpha_edge_share": 0.0, "weights_sha256": f"{abs(hash(row['model'])):064x}",
        }  # fmt: skip
        values = {
            "depth": depth, "score": score, "noise_ceiling": ceiling,
            "score_normalised": np.where(ridge, score / np.sqrt(ceiling), np.nan),
            "null_mean": self.rng.normal(0, 0.002, n), "null_sd": np.full(n, 0.01),
            "p": np.ceil(self.rng.uniform(0, 1, n) * 101) / 101,
            "score_chance_corrected": score - 0.001,
            "score_median": score, "selection_score": score,
            "p_permutation": np.full(n, 0.01),
        }  # fmt: skip
        columns = [pl.Series(k, v) for k, v in values.items() if k in schema]
        named = [pl.lit(v, dtype=schema[k]).alias(k) for k, v in constants.items() if k in schema]
        rows = base.with_columns(columns).with_columns(named)
        absent = [pl.lit(None, dtype=schema[k]).alias(k) for k in schema if k not in rows.columns]
        rows = rows.with_columns(absent).select(list(schema))
        return rows.with_columns(pl.selectors.float().fill_nan(None))


def checkpoints(model: dict) -> Iterator[dict]:
    for step in model["steps"]:
        final = step in (None, STEPS_OF_TRAINING[-1])
        yield {
            **model, "checkpoint": "final" if step is None else f"step{step:06d}", "step": step,
            "role": "random" if step == 0 else "trained", "final": final,
            "learned": model["quality"] * (1 if step is None else np.log10(step + 1) / 5),
        }  # fmt: skip


def write(paths: Paths, rows: int) -> None:
    every = list(models(rows))
    maker = Maker()
    count = {"measurements": 0, "alignment": 0}
    for family in sorted({model["family"] for model in every}):
        mine = sorted((m for m in every if m["family"] == family), key=lambda m: m["model"])
        for table, base, schema in (
            ("measurements", maker.layers, MEASUREMENT_SCHEMA),
            ("alignment", maker.chosen, ALIGNMENT_SCHEMA),
        ):
            said = {"study": "tables", "family": family, "identity": IDENTITY}
            with writing(paths.family(family, table), table, said) as file:
                for model in mine:
                    for row in checkpoints(model):
                        made = maker.rows(base, row["learned"], row, schema)
                        file.write(made)
                        count[table] += made.height
    small_tables(paths, every)
    size = sum(path.stat().st_size for path in Path(paths.root).rglob("families/**/*.parquet"))
    print(f"{count['measurements']:,} measurements, {count['alignment']:,} alignment rows, "
          f"{size / 1e9:.2f} GB on disk")  # fmt: skip


def small_tables(paths: Paths, every: list[dict]) -> None:
    rng = np.random.default_rng(2)
    performance, coverage = [], []
    for model in every:
        for row in checkpoints(model):
            keys = {k: row[k] for k in ("model", "checkpoint", "family", "modality", "role",
                                        "step", "final", "parameters")}  # fmt: skip
            score = 0.2 + 0.6 * row["learned"] + rng.normal(0, 0.05)
            performance.append({**keys, "study": "tables", "source": "made up", "score": score,
                                "benchmark": BENCHMARKS[row["modality"]][0]})  # fmt: skip
            coverage += [
                {"dataset": row["dataset"], "family": row["family"], "model": row["model"],
                 "checkpoint": row["checkpoint"], "layer": f"blocks.{i}", "subject": subject,
                 "status": "ok", "reason": None, **dict.fromkeys(COUNTED, 0)}
                for i in range(LAYERS) for subject in SUBJECTS
            ]  # fmt: skip
    table = pl.DataFrame(
        [{"model": m["model"], "family": m["family"], "modality": m["modality"], "source": "timm",
          "reference": m["model"], "revision": "", "parameters": m["parameters"],
          "layers": LAYERS, "width": 768.0, "tags": "coco" if m["index"] % 7 == 0 else ""}
         for m in every]
    )  # fmt: skip
    where = places()
    ceilings = grid(
        dataset=pl.DataFrame({"dataset": list(MODALITIES.values())}),
        kind=where["kind"].filter(~pl.col("metric").str.starts_with("ridge")),
        region=where["region"].select("region"),
    ).with_columns(
        lower=pl.lit(0.3), upper=pl.lit(0.5), n_subjects=pl.lit(4, pl.Int64),
        n_stimuli=pl.lit(1000, pl.Int64),
    )  # fmt: skip
    truth = pl.DataFrame(
        schema={"dataset": pl.String, "region": pl.String, "high_level": pl.Float64,
                "noise_ceiling": pl.Float64, "driven": pl.Boolean}
    )  # fmt: skip
    for name, shape in SHAPES.items():  # what is not made up here is empty
        if name not in ("measurements", "alignment"):
            write_table(paths.table(name), [pl.DataFrame(schema=shape.columns)], name)
    write_table(paths.table("ceilings"), [ceilings.select(list(CEILING_SCHEMA))], "ceilings")
    covered = pl.DataFrame(coverage, schema=SHAPES["coverage"].columns)
    write_table(paths.table("coverage"), [covered], "coverage")

    for name, rows in (("performance", pl.DataFrame(performance, infer_schema_length=None)),
                       ("models", table), ("simulation_truth", truth)):  # fmt: skip
        rows.write_parquet(paths.table(name))
    families = {f: [m["model"] for m in every if m["family"] == f]
                for f in sorted({m["family"] for m in every})}  # fmt: skip
    about = {"primary": "ridge_r", "families": families}
    Path(paths.about).write_text(json.dumps(about))


def families(paths: Paths) -> list[str]:
    return list(json.loads(Path(paths.about).read_text())["families"])


def scan(paths: Paths, table: str) -> pl.LazyFrame:
    return scan_tables((paths.family(family, table) for family in families(paths)), table)


def timed(name: str, begun: float) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"    {name:<44} {time.perf_counter() - begun:8.1f} s  peak so far {peak:5.2f} GiB",
          flush=True)  # fmt: skip


def query_duckdb(paths: Paths) -> None:
    from convergent.tables.query import answers
    from convergent.tables.results import results_in

    for name, question in QUESTIONS.items():
        begun = time.perf_counter()
        with answers(results_in(paths.root), question, memory_gb=4) as reader:
            rows = reader.read_all().num_rows
        timed(f"{name}: {rows:,} rows", begun)


def query_polars(paths: Paths) -> None:
    rows = scan(paths, "measurements")
    mean = pl.col("score").mean()
    asked = (
        rows.filter(metric="ridge_r").group_by("model", "region").agg(mean),
        rows.group_by("metric", "scale")
        .agg(mean, pl.col("score_chance_corrected").mean(), pl.len()),
        rows.filter(metric="cka", network="Visual").group_by("model", "layer").agg(mean)
        .top_k(10, by="score"),
    )  # fmt: skip
    for name, question in zip(QUESTIONS, asked, strict=True):
        begun = time.perf_counter()
        found = question.collect(engine="streaming")
        timed(f"{name}: {found.height:,} rows", begun)


def correlate(paths: Paths) -> None:
    from convergent.pipeline.claims import Material, claimed

    material = Material(
        alignment=scan(paths, "alignment"), measurements=scan(paths, "measurements"),
        **{name: pl.read_parquet(paths.table(name))
           for name in ("performance", "models", "ceilings", "simulation_truth")},
        primary="ridge_r", benchmarks=BENCHMARKS, threshold=0.05, seed=0, bootstraps=2000,
        permutations=2000,
    )  # fmt: skip
    begun = time.perf_counter()
    for name, table in claimed(material):  # the first table of a claim takes the time of all
        table.write_parquet(paths.table(name))
        timed(name, begun)
        begun = time.perf_counter()


def cube(paths: Paths) -> None:
    from convergent.pipeline.cube import open_cube, write_cube

    study = SimpleNamespace(
        name="tables",
        file="tables.yaml",
        paths=paths,
        families=families(paths),
        dataset=lambda name: name,
        family=lambda name: [],
        identity=lambda stage, **keys: IDENTITY,
    )
    for dataset in MODALITIES.values():
        begun = time.perf_counter()
        path = write_cube(study, dataset)
        found = open_cube(path)
        timed(f"{dataset}: {dict(found.sizes)}"[:44], begun)
        begun = time.perf_counter()
        found["score"].sel(metric_scale="cka").mean("region").compute()
        timed(f"{dataset}: mean CKA of every layer", begun)


def compare(paths: Paths) -> None:
    from convergent.tables.comparison import compare_results
    from convergent.tables.comparison_page import verdict

    print("   ", verdict(compare_results(paths.root, paths.root, tolerance=1e-6)))


def report(paths: Paths) -> None:
    from convergent.figures import draw_all
    from convergent.registry import CLAIMS, GATHERED
    from convergent.report import DatasetFacts, ReportInputs, render_report, report_tables

    statistics = {"bootstraps": 2000, "permutations": 2000, "seed": 0, "ceiling_threshold": 0.05}
    fit = {"metrics": {"ridge": None, "cka": None, "cka_rbf": {"scales": list(SCALES)}},
           "folds": 5, "inner_folds": 5, "selection": "gcv", "permutations": 100,
           "fixed_depth": 0.5, "alphas": {"low": -1, "high": 8, "number": 19},
           "delays": [1], "trim_volumes": 0}  # fmt: skip
    inputs = ReportInputs(
        study="tables", title="Made-up tables", primary="ridge_r",
        config={"study": "tables", "title": "Made-up tables", "fit": fit,
                "extraction": {"projection": None, "projection_seed": 0},
                "performance": {"benchmarks": BENCHMARKS}, "statistics": statistics,
                "coverage": {"minimum": 1.0}},
        datasets=[DatasetFacts(name, modality, "items", SUBJECTS, True, stimuli=1000, regions=360)
                  for modality, name in MODALITIES.items()],
        tables={name: pl.read_parquet(paths.table(name))
                for name in (*GATHERED, *CLAIMS.names())},
    )  # fmt: skip
    begun = time.perf_counter()
    tables = report_tables(inputs)
    drawings, not_drawn = draw_all(tables)
    timed(f"{len(drawings)} figures, {len(not_drawn)} not drawn", begun)
    begun = time.perf_counter()
    page = render_report(inputs, tables=tables, drawings=drawings, not_drawn=not_drawn)
    Path(paths.report).write_text(page, encoding="utf-8")
    timed(f"page of {len(page.encode()) / 1e6:.1f} MB", begun)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=60_000_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--folder", type=Path, help="where the tables lie; a temporary one if none")
    parser.add_argument("--keep", action="store_true", help="leave the tables there")
    parser.add_argument("--only", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="convergent-tables-"))
    paths = Paths(str(folder / "tables"))
    if options.only:
        step = globals()[options.only.replace("-", "_")]
        step(paths, options.rows) if options.only == "write" else step(paths)
        return
    threads = str(options.threads)
    environment = os.environ | dict.fromkeys(
        ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), threads
    )
    try:
        for step in options.steps:
            begun = time.perf_counter()
            print(step, flush=True)
            arguments = ["--only", step, "--rows", str(options.rows), "--folder", str(folder)]
            process = subprocess.Popen([sys.executable, __file__, *arguments], env=environment)
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
            print(f"{step:<48} {seconds:8.1f} s  peak {used.ru_maxrss / 2**20:5.2f} GiB",
                  flush=True)  # fmt: skip
            if status:
                sys.exit(f"{step} failed")
    finally:
        if not options.keep and options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
