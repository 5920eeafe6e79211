"""What a layer costs on a SLURM: single jobs, bundles, whole checkpoints, and job arrays.

    python benchmarks/slurm.py FOLDER --way single --models 4 --layers 25     # 200 layer jobs

needs a SLURM that answers (`tests/slurm/slurm-up.sh` starts one with 12 simulated GPUs). The models
are small ViTs of random weights, so that nearly all of a job's time is overhead. The same layers'
commands, called one after the other without Snakemake and SLURM, say what the work itself costs.
Prints one JSON object a way: seconds of SLURM jobs a layer, beyond that work, jobs submitted a
second, memory of the controller, and whether the stores are the first way's, byte for byte.

With several jobs on fewer processors the jobs wait for each other: `--at-once 1` on a machine with
nothing else to do gives the overhead. SLURM's own processor seconds are not used: without cgroups
it samples them, and misses processes that end between two samples.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from _cluster import ONE_THREAD, Job, Place, Run, make_place, recorded

WAYS = ("single", "bundle", "checkpoint", "ungrouped", "array")
BUNDLE = 25  # layers in one job
PROFILE = "--profile slurm --configfile study.yaml --slurm-init-seconds-before-status-checks 5"


def options(way: str) -> str:
    """What to say to Snakemake beside the profile."""
    if way == "bundle":  # cores=1, so that members follow each other: one GPU, not one a member
        group = "{model}.{checkpoint}"
        names = f"'extract={group}' 'fit_scenes={group}'"
        return f"--groups {names} --group-components '{group}={BUNDLE}' --cores 1"
    if way == "checkpoint":
        return "--config granularity=checkpoint"
    if way == "array":
        return "--slurm-array-jobs extract,fit_scenes"
    return ""


def work(place: Place, layers: int) -> float:
    """Seconds of a layer's two commands, called alone."""
    (model, *_) = place.study.models
    environment = os.environ | ONE_THREAD
    begun = time.monotonic()
    for index in range(layers):
        unit = ["--model", model, "--checkpoint", "final", "--layer", f"layers.{index}"]
        for stage in ("extract", "fit"):
            subprocess.run(
                [sys.executable, "-m", "convergent", stage, *unit, "--study", "study.yaml"],
                cwd=place.root,
                env=environment,
                stderr=subprocess.DEVNULL,
                check=True,
            )
    spent = time.monotonic() - begun
    place.forget()
    return spent / layers


def prepare(place: Place) -> None:
    """Make stimuli, responses and weights here: no way has to."""
    study = place.study
    made = [study.paths.stimuli("scenes")]
    made += [study.paths.responses("scenes", who) for who in study.dataset("scenes").subjects]
    made += [
        study.paths.weights(model.key, checkpoint.name)
        for model in study.models.values()
        for checkpoint in model.checkpoints
    ]
    run = place.snakemake(f"--cores 2 --configfile study.yaml -- {' '.join(made)}")
    if run.returncode:
        raise SystemExit(run.log.read_text())


def without_groups(place: Place) -> None:
    """Take the groups from the copied rules: only jobs of no group can be in an array."""
    for path in (place.root / "workflow" / "rules").glob("*.smk"):
        text = re.sub(r" +group:\n[^\n]+\n", "", path.read_text())
        path.write_text(text)


def give_way(place: Place) -> None:
    """Let other jobs of this SLURM go first: a benchmark may wait."""
    profile = place.root / "profiles" / "slurm" / "config.yaml"
    text = profile.read_text()
    extra = "default-resources:\n  slurm_extra: --nice=1000\n"
    profile.write_text(text.replace("default-resources:\n", extra))


def summary(way: str, run: Run, jobs: list[Job], layers: int, alone: float) -> dict[str, object]:
    """One line of the table."""
    times = sorted(job.submitted for job in jobs)
    window = (times[-1] - times[0]).total_seconds()
    spent = sum(job.elapsed for job in jobs)
    return {
        "way": way,
        "layers": layers,
        "slurm_jobs": len(jobs),
        "states": sorted({job.state for job in jobs}),
        "job_s_a_layer": round(spent / layers, 2),
        "work_s_a_layer": round(alone, 2),
        "overhead_s_a_layer": round(spent / layers - alone, 2),
        "overhead_s_a_job": round((spent - alone * layers) / len(jobs), 2),
        "wall_s": round(run.seconds),
        "submitted_a_second": round((len(jobs) - 1) / window, 1) if window else None,
        "controller_mb": round(run.peak_mb),
        "memory_asked_mb": sorted({job.memory_mb for job in jobs}),
        "gpus_asked": sorted({job.gpus for job in jobs}),
        "comments": sorted({job.comment for job in jobs})[:2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="empty or missing; what is there is removed")
    parser.add_argument("--way", choices=WAYS, action="append", required=True)
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--layers", type=int, default=25, help="a model; two checkpoints each")
    parser.add_argument("--at-once", type=int, default=200, help="SLURM jobs in flight")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    place = make_place(
        arguments.folder.resolve(), arguments.models, arguments.layers, {"cka": None}
    )
    give_way(place)
    prepare(place)
    alone = work(place, min(3, arguments.layers))
    layers = 2 * arguments.models * arguments.layers
    first: dict[str, str] = {}
    for way in sorted(arguments.way, key=WAYS.index):
        if way in ("ungrouped", "array"):
            without_groups(place)
        run = place.snakemake(
            f"{PROFILE} {options(way)} --jobs {arguments.at_once} -- {' '.join(place.targets)}"
        )
        if run.returncode:
            raise SystemExit(run.log.read_text()[-4000:])
        line = summary(way, run, recorded(run.identity), layers, alone)
        stores = place.digests()
        first = first or stores
        line["same_stores_as_the_first_way"] = stores == first and len(stores) == 3 * layers
        print(json.dumps(line), flush=True)
        place.forget()


if __name__ == "__main__":
    main()
