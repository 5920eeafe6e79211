"""What a process costs before it does anything: imports, Snakemake, and the work of a small fit.

    python benchmarks/startup.py
    python benchmarks/startup.py --repeats 5

A study of one layer (a baseline of 32 features) and two people (simulated, one target in each of
361 regions). Each line is the median of whole processes, in turn, from one run: wall and processor
seconds. What is left when imports are subtracted is the work.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
MODELS = (
    "model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\t"
    "preprocessing\tattention\n"
    "gabor\tcontrols\tvision\tbaseline\tgabor\t0\tfeatures\t32\tvector\tnone\t"
    "size=32 orientations=4 scales=2 grid=2\t\n"
)
LAYER = ("--dataset", "scenes", "--model", "gabor", "--checkpoint", "final", "--layer", "features")
STORES = "results/small/alignment/scenes/gabor/final/features"
SUBJECTS = ("sim01", "sim02")


def write_study(folder: Path) -> None:
    """One layer, two people."""
    (folder / "models.tsv").write_text(MODELS)
    scenes = {"reader": "simulated-scenes", "modality": "vision", "design": "items"}
    config = {
        "study": "small",
        "title": "Small",
        "tables": {"models": ["models.tsv"]},
        "datasets": {
            "scenes": {**scenes, "subjects": list(SUBJECTS), "options": {"vertices": 1}},
        },
        "fit": {"permutations": 4, "metrics": {"ridge": None, "cka": None}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def timed(folder: Path, *command: str) -> tuple[float, float]:
    """Wall and processor seconds of a process and its children."""
    environment = {**os.environ, "CONVERGENT_STUDY": "study.yaml"}
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    worked = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - begun, worked


def forget(folder: Path) -> None:
    """Remove the fits, with what is kept of them."""
    for path in (folder / STORES).glob("*"):
        path.unlink()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    python = sys.executable
    convergent = (python, "-m", "convergent")
    fit = (*convergent, "fit", *LAYER)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_study(folder)
        snakemake = (
            python, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"),
            "--quiet", "all", "--configfile", "study.yaml", "--cores", "1",
        )  # fmt: skip
        timed(folder, *snakemake, "results/small/models/gabor.parquet")
        lines: dict[str, tuple[tuple[str, ...], ...]] = {
            "python": ((python, "-c", "pass"),),
            "import torch": ((python, "-c", "import torch"),),
            "import convergent.cli": ((python, "-c", "import convergent.cli"),),
            "import convergent.pipeline.fit": ((python, "-c", "import convergent.pipeline.fit"),),
            "fit, all subjects in one process": (fit,),
            "fit, a process a subject": tuple((*fit, "--subject", one) for one in SUBJECTS),
            "fit, all stores there": (fit,),
            "fit, by snakemake": ((*snakemake, "--force", f"{STORES}/sim01.zarr.zip"),),
            "snakemake, nothing to be done": ((*snakemake, f"{STORES}/sim01.zarr.zip"),),
            "measure": ((*convergent, "measure", "--model", "gabor"),),
            "family": ((*convergent, "family", "--family", "controls"),),
        }
        found: dict[str, list[tuple[float, float]]] = {label: [] for label in lines}
        for _ in range(repeats):
            for label, commands in lines.items():
                if label.startswith("fit") and label != "fit, all stores there":
                    forget(folder)
                parts = [timed(folder, *command) for command in commands]
                found[label].append((sum(p[0] for p in parts), sum(p[1] for p in parts)))
    print(f"{'':34s}    wall processor")
    medians = {
        label: tuple(statistics.median(column) for column in zip(*values, strict=True))
        for label, values in found.items()
    }
    for label, (wall, worked) in medians.items():
        print(f"{label:34s} {wall:7.2f} s {worked:7.2f} s")
    torch, work = medians["import torch"][1], medians["fit, all subjects in one process"][1]
    single = medians["fit, a process a subject"][1]
    print(f"of a fit's processor time, import torch is {100 * torch / work:.0f} %")
    print(f"a process a subject costs {single / work:.2f} times one process for {len(SUBJECTS)}")


if __name__ == "__main__":
    main()
