"""Gather 20,000 alignment stores into tables and maps: time, memory, and how they grow.

    python benchmarks/aggregate.py                            # 2,000, 6,000 and 20,000 stores
    python benchmarks/aggregate.py --stores 400 --workers 1 4
    python benchmarks/aggregate.py --steps sizes              # bytes and inodes of a store

Stores have the arrays of a fit of the paper's study: 360 regions, 5 folds, ridge, CKA and RBF-CKA
at several bandwidths, eight subjects, models of 25 layers. ``--permutations`` (paper: 100),
``--bandwidths`` (12) and ``--targets`` (40,000) are smaller, so that 20,000 of them fit on a disk.
Each number of stores is gathered by a process of its own: wall and processor time, and its peak
memory. What is read was just written, so it comes from memory and not from the disk. Everything is
removed at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from convergent.store import write_store
from convergent.study import Study
from convergent.study.types import COUNTED

SUBJECTS, LAYERS, REGIONS, FOLDS = 8, 25, 360, 5
PAPER_UNITS, PAPER_TARGETS, PAPER_PERMUTATIONS, PAPER_SCALES = 64_948, 40_000, 100, 12
HEADER = "model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling"
ROW = "net-{0}\tnets\tvision\ttransformers\tpath:x\t1\tlayers.{{0-{1}}}\t16\ttokens\tcls"
SHARED = "\tpreprocessing\tattention"

BLOCK = 4096  # of a file system

Content = dict[str, tuple[tuple[str, ...], np.ndarray]]


def content(targets: int, permutations: int, bandwidths: int, seed: int) -> Content:
    """Arrays of one store."""
    rng = np.random.default_rng(seed)
    index = np.sort(np.arange(targets) % REGIONS)
    names = np.array([f"L_region-{k}" for k in range(REGIONS)])

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.1, shape)

    def scores(*shape: int) -> np.ndarray:
        return normal(*shape).astype(np.float32)

    target, region, fold = ("target",), ("region",), ("fold", "region")
    found: Content = {
        "region": (region, names),
        "hemisphere": (region, np.array(["L"] * REGIONS)),
        "network": (region, np.array(["Visual"] * REGIONS)),
        "axis_position": (region, np.arange(REGIONS) / REGIONS),
        "region_noise_ceiling": (region, rng.uniform(0, 0.6, REGIONS)),
        "region_targets": (region, np.full(REGIONS, targets // REGIONS)),
        "r": (target, scores(targets)),
        "r2": (target, scores(targets)),
        "alpha_grid": (("alpha_grid",), np.logspace(-1, 8, 19)),
        "alpha_index": (("fold", "target"), np.zeros((FOLDS, targets), dtype=np.int8)),
        "fold_r": (("fold", "target"), scores(FOLDS, targets)),
        "inner_r": (("fold", "target"), scores(FOLDS, targets)),
        "target_region": (target, names[index]),
        "noise_ceiling": (target, np.random.default_rng(0).uniform(0, 0.6, targets)),
    }
    for name in ("r", "r2", "r_median", "r_normalised", "r_normalised_median", "log10_alpha"):
        found[f"region_{name}"] = (region, normal(REGIONS))
    found["region_edge_share"] = (region, np.zeros(REGIONS))
    for name in ("region_fold_r", "region_inner_r"):
        found[name] = (fold, normal(FOLDS, REGIONS))
    for name in ("null_fold_r", "null_inner_r"):
        shape = (permutations, FOLDS, REGIONS)
        found[name] = (("permutation", *fold), normal(*shape).astype(np.float32))
    for name, scales in (("cka", 1), ("cka_rbf", bandwidths)):
        axis = f"{name}_scale"
        values = [np.nan] if name == "cka" else 2.0 ** np.arange(scales)
        found[axis] = ((axis,), np.array(values))
        found[f"{name}_score"] = ((axis, "region"), normal(scales, REGIONS))
        half = ("half", axis, "region")
        found[f"{name}_half"] = (half, normal(2, scales, REGIONS))
        null = normal(permutations, scales, REGIONS).astype(np.float32)
        found[f"{name}_null"] = (("permutation", axis, "region"), null)
        null = normal(permutations, 2, scales, REGIONS).astype(np.float32)
        found[f"{name}_half_null"] = (("permutation", *half), null)
    return found


def study_in(folder: Path, models: int, permutations: int, bandwidths: int, workers: int) -> Study:
    """A study of as many models."""
    rows = [ROW.format(k, LAYERS - 1) + "\tsize=32 mean=0.5 std=0.5\t" for k in range(models)]
    (folder / "models.tsv").write_text("\n".join([HEADER + SHARED, *rows]) + "\n")
    checkpoints = [f"net-{k}\tfinal\ttrained\t1\t\tyes" for k in range(models)]
    header = "model\tcheckpoint\trole\tstep\tseed\tfinal"
    (folder / "checkpoints.tsv").write_text("\n".join([header, *checkpoints]) + "\n")
    subjects = [f"subj{k:02d}" for k in range(1, SUBJECTS + 1)]
    scenes = {"reader": "simulated-scenes", "modality": "vision", "design": "items"}
    config = {
        "study": "made",
        "title": "Made",
        "results": str(folder / "results"),
        "tables": {"models": ["models.tsv"], "checkpoints": ["checkpoints.tsv"]},
        "datasets": {"scenes": {**scenes, "subjects": subjects}},
        "fit": {"permutations": permutations, "metrics": dict.fromkeys(("ridge", "cka"))},
        "aggregation": {"workers": workers},
    }
    scales = [float(2.0**k) for k in range(bandwidths)]
    config["fit"]["metrics"]["cka_rbf"] = {"scales": scales}
    (folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return Study.load(folder / "study.yaml")


def write(study: Study, targets: int, permutations: int, bandwidths: int) -> None:
    """Write all stores of a study; values are of one of eight sets, names are each store's."""
    os.fsync = lambda _: None  # thousands of waits for the disk, for stores that nobody keeps
    sets = [content(targets, permutations, bandwidths, seed) for seed in range(SUBJECTS)]
    for model in study.models:
        for layer in study.model(model).layers:
            keys = {"dataset": "scenes", "model": model, "checkpoint": "final"}
            keys["layer"] = layer.name
            attrs = {**keys, "identity": study.identity("fit", **keys), "status": "ok"}
            attrs |= {"reason": "", "width": 16, "n_features": 16, "weights_sha256": "0" * 64}
            attrs |= {"effective_dimensionality": 3.0, "made_from": {"responses": "0"}}
            attrs |= {"counted": dict.fromkeys(COUNTED, 0)}
            for k, subject in enumerate(study.dataset("scenes").subjects):
                path = study.paths.alignment(*keys.values(), subject)
                write_store(path, "alignment", sets[k], attrs | {"subject": subject})


def gather(file: str, step: str) -> dict[str, float]:
    """Wall and processor time of one step, and the process's peak memory."""
    study = Study.load(file)
    begun, worked = time.perf_counter(), time.process_time()
    if step == "maps":
        from convergent.pipeline.maps import write_maps

        write_maps(study, "scenes")
    else:
        from convergent.pipeline.measure import gather_family, measure

        if step == "measure":
            for model in study.models:
                measure(study, model)
        else:
            gather_family(study, "nets")
    return {
        "seconds": time.perf_counter() - begun,
        "processor": time.process_time() - worked,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def grow(arguments: argparse.Namespace) -> None:
    """Print the table of times and memory."""
    per_model = LAYERS * SUBJECTS
    print(
        f"{LAYERS} layers x {SUBJECTS} subjects a model, {arguments.targets} targets, "
        f"{arguments.permutations} permutations, {arguments.bandwidths} bandwidths"
    )
    print(" stores workers step      seconds processor ms a store  peak MB", flush=True)
    for stores in arguments.stores:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
            folder = Path(name)
            models = max(1, stores // per_model)
            sizes = arguments.permutations, arguments.bandwidths
            study = study_in(folder, models, *sizes, 1)
            begun = time.perf_counter()
            write(study, arguments.targets, *sizes)
            wrote = time.perf_counter() - begun
            done, used = models * per_model, list((folder / "results").rglob("*"))
            size = sum(512 * path.stat().st_blocks for path in used)
            print(f"{done:7d} {'':7} {'write':8} {wrote:8.1f}   {size / 1e9:.2f} GB on the disk, "
                  f"{len(used) / done:.3f} inodes a store", flush=True)  # fmt: skip
            for workers in arguments.workers:
                study_in(folder, models, *sizes, workers)
                for step in ("measure", "family", "maps"):
                    command = [sys.executable, __file__, "--one", step, str(folder / "study.yaml")]
                    output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                    found = json.loads(output)
                    each = 1000 * found["processor"] / done
                    print(f"{done:7d} {workers:7d} {step:8} {found['seconds']:8.1f}"
                          f" {found['processor']:9.1f} {each:10.2f} {found['peak']:8.0f}",
                          flush=True)  # fmt: skip


def savings(inside: dict[str, int]) -> dict[str, float]:
    """Bytes of a store that could go, one change after the other."""
    nulls = sum(size for name, size in inside.items() if "null" in name)
    return {
        "target_region and noise_ceiling were in responses only": float(
            inside["target_region"] + inside["noise_ceiling"]
        ),
        "nulls were float16": nulls / 2,
    }


def sizes(folder: str | None) -> None:
    """Print bytes of each array of a store, inodes, and what they come to in the paper's study."""
    made = content(PAPER_TARGETS, PAPER_PERMUTATIONS, PAPER_SCALES, 0)
    stores = PAPER_UNITS * SUBJECTS
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "one.zarr.zip"
        write_store(path, "alignment", made, {})
        with zipfile.ZipFile(path) as archive:
            members = len(archive.namelist())
            inside: dict[str, int] = {}
            for info in archive.infolist():
                array = info.filename.split("/")[0].removesuffix(".json")
                inside[array] = inside.get(array, 0) + info.file_size
            sizes_inside = {info.filename: info.file_size for info in archive.infolist()}
        total = path.stat().st_size
    names = {PurePosixPath(member) for member in sizes_inside}
    folders = {parent for member in names for parent in member.parents}
    blocks = sum(-(-size // BLOCK) * BLOCK for size in sizes_inside.values())
    blocks += len(folders) * BLOCK
    inodes = len(names) + len(folders)
    print(f"\none store at the paper's scale ({PAPER_TARGETS} targets, {PAPER_PERMUTATIONS} "
          f"permutations): {total / 1e6:.2f} MB, {members} members")  # fmt: skip
    print(f"  besides the arrays: {total - sum(inside.values())} bytes")
    for array, size in sorted(inside.items(), key=lambda pair: -pair[1])[:14]:
        axes = " x ".join(made[array][0]) if array in made else ""
        print(f"  {array:22s} {size / 1e6:8.3f} MB {100 * size / total:5.1f}%  {axes}")
    of_targets = sum(inside[name] for name, (dims, _) in made.items() if "target" in dims)
    nulls = sum(size for name, size in inside.items() if "null" in name)
    print(f"  of targets {100 * of_targets / total:.1f}%, nulls {100 * nulls / total:.1f}%")
    print(f"{stores:,} stores ({PAPER_UNITS:,} units x {SUBJECTS} subjects):")
    each = {
        "one zip a store": (stores * total, stores + PAPER_UNITS),
        "one zip a layer": (stores * total, PAPER_UNITS),
        "a directory a store": (stores * blocks, stores * inodes + PAPER_UNITS),
    }
    for way, (size, count) in each.items():
        print(f"  {way:20s} {size / 1e12:6.2f} TB {count:12,} inodes")
    print("a store, if")
    left = float(total)
    for change, saved in savings(inside).items():
        left -= saved
        print(f"  {change:58s} -{saved / 1e6:.2f} MB: {left / 1e6:5.2f} MB, "
              f"all {left * stores / 1e12:.2f} TB")  # fmt: skip
    rows = REGIONS * (2 + 1 + PAPER_SCALES)
    print(f"a measurement (region, metric, scale) costs {total / rows:.0f} bytes in its store, "
          f"{1 / rows:.6f} inodes; {rows} a store")  # fmt: skip


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stores", nargs="+", type=int, default=[2000, 6000, 20_000])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 4])
    parser.add_argument("--targets", type=int, default=720)
    parser.add_argument("--permutations", type=int, default=10)
    parser.add_argument("--bandwidths", type=int, default=1)
    parser.add_argument("--steps", nargs="+", choices=("sizes", "grow"), default=["grow", "sizes"])
    parser.add_argument("--folder", default=None, help="where stores are written")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(gather(arguments.one[1], arguments.one[0])))
        return
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if "grow" in arguments.steps:
        grow(arguments)
    if "sizes" in arguments.steps:
        sizes(arguments.folder)


if __name__ == "__main__":
    main()
