"""Snakemake's plan, the estimate and the status name the same jobs, whatever a study switches on.

Files are empty here: a plan looks at names and times, and at nothing that Snakemake recorded.
"""

from __future__ import annotations

import itertools
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from convergent.ops.plan import estimate
from convergent.ops.status import Watch
from convergent.study import Study
from convergent.study.graph import Job
from workflow_fixtures import Workflow, small_configuration

MODELS = """\
model\tfamily\tmodality\tsource\treference\tparameters\tlayers\twidth\tlayout\tpooling\tpreprocessing\tattention
gabor\tcontrols\tvision\tbaseline\tgabor\t0\tfeatures\t32\tvector\tnone\tsize=32\t
lengths\tcontrols\tlanguage\tbaseline\ttext-length\t0\tfeatures\t3\tvector\tnone\t\t
a_b\ttiny\tvision\ttransformers\tpath:x\t20000\tlayers.{0-1}\t16\ttokens\tcls\tsize=32\t
a\ttiny\tvision\ttransformers\tpath:x\t20000\tlayers.0\t16\ttokens\tcls\tsize=32\t
words\tprose\tlanguage\ttransformers\tpath:y\t20000\tlayers.{0-1}\t16\ttokens\tmean\t\tcausal
"""
TRAINED = (
    "own\ttiny\tvision\ttransformers\ttrained:scenes\t2000\tlayers.0\t16\ttokens\tcls\tsize=32\t\n"
)
# a_b/c and a/b_c must not be taken for each other
CHECKPOINTS = """\
model\tcheckpoint\trole\tstep\tseed\tfinal
a_b\tc\ttrained\t10\t\tyes
a_b\tstep1\ttrained\t1\t\tno
a\tb_c\ttrained\t\t\tyes
a\trandom-7\trandom\t\t7\tno
"""

GRANULARITY = [
    {"granularity": "layer", "fit_granularity": "layer"},
    {"granularity": "layer", "fit_granularity": "subject"},
    {"granularity": "checkpoint"},
    {"granularity": "model"},
]
UNIQUE = {"baselines": ["gabor", "lengths"]}
SWITCHES: dict[str, dict[str, Any]] = {
    "plain": {},
    "convergence": {"convergence": {"datasets": ["scenes", "sentences"], "models": 2}},
    "twins": {"twins": {"seeds": [0, 1], "families": ["prose"]}},
    "training": {"training": {"scenes": {}}},
    "evaluation": {"performance": {"evaluations": ["probe_top1"]}},
    "nuisance": {"fit": {"metrics": {"ridge": None, "unique": UNIQUE}}},
    "one data set": {"datasets": {"scenes": ...}},
    "two of a kind": {"datasets": {"more": {"subjects": ["sim09"]}}},
    "one family": {"select": {"families": ["tiny"]}},
    "without controls": {"select": {"families": ["prose"]}, "datasets": {"sentences": ...}},
    "everything": {
        "convergence": {"datasets": ["scenes", "sentences"]},
        "twins": {"seeds": [3]},
        "training": {"scenes": {}},
        "performance": {"evaluations": ["probe_top1"]},
        "fit": {"metrics": {"cka": None, "unique": UNIQUE},
                "primary": "cka"},
    },
}  # fmt: skip
CASES = list(itertools.product(SWITCHES, range(len(GRANULARITY))))
QUICK = [("everything", 0), ("everything", 2)]


@pytest.fixture
def make(tmp_path: Path, repository: Path) -> Callable[[str, int], Workflow]:
    """Write a study of some switches."""

    def write(switch: str, granularity: int) -> Workflow:
        config = small_configuration() | GRANULARITY[granularity] | SWITCHES[switch]
        datasets = small_configuration()["datasets"]
        chosen = SWITCHES[switch].get("datasets", {})
        if ... in chosen.values():
            datasets = {name: datasets[name] for name in chosen}
        for name, more in chosen.items():
            if more is not ...:
                datasets[name] = datasets["scenes"] | more
        config["datasets"] = datasets
        models = MODELS + (TRAINED if "training" in config else "")
        checkpoints = CHECKPOINTS
        if switch == "one data set":
            models = "".join(
                line for line in models.splitlines(keepends=True) if "\tlanguage\t" not in line
            )
        (tmp_path / "models.tsv").write_text(models)
        (tmp_path / "checkpoints.tsv").write_text(checkpoints)
        return Workflow(tmp_path, repository, config)

    return write


def planned(workflow: Workflow) -> Counter[str]:
    """Logs of the jobs that a dry run would start."""
    done = workflow.snakemake("--dry-run")
    text = done.stdout + done.stderr
    return Counter(re.findall(r"^ +log: (\S+)$", text, flags=re.MULTILINE))


def compare(workflow: Workflow, phase: str) -> None:
    """Demand that the three say the same of what is left, job by job."""
    workflow.write()
    study = Study.load("study.yaml")
    left = study.graph.left(lambda path: Path(path).exists())
    assert planned(workflow) == Counter(left), phase
    total = estimate(study).total
    assert (total.jobs, total.done) == (len(left), len(study.graph.jobs) - len(left)), phase
    families = {row.name: row for row in Watch(study).look().families}
    for name, row in families.items():
        jobs = study.graph.jobs_of(name)
        waiting = sum(job.log in left for job in jobs)
        assert (row.jobs["waiting"], row.jobs["done"]) == (waiting, len(jobs) - waiting), phase


def finish(jobs: Sequence[Job], clock: itertools.count[int]) -> None:
    for job in jobs:
        for path in map(Path, job.outputs):
            if path.name == "figures":
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            os.utime(path, (stamp := 1_700_000_000 + next(clock), stamp))


def whole(workflow: Workflow, seed: int) -> None:
    """Compare before, during and after a run, and after deletions."""
    workflow.write()
    study = Study.load("study.yaml")
    draw, clock = random.Random(seed), itertools.count()
    compare(workflow, "before")
    jobs = list(study.graph.jobs)
    # a job can only have run after those whose files it reads
    done: set[str] = set()
    some = []
    for job in jobs:
        reads = [
            file for files in study.graph.inputs(job.stage, job.keys).values() for file in files
        ]
        ready = all(file in done for file in reads if file.startswith("results/"))
        if ready and draw.random() < 0.8:
            some.append(job)
            done |= set(job.outputs)
    finish(some, clock)
    compare(workflow, "during")
    finish([job for job in jobs if job not in some], clock)
    assert planned(workflow) == Counter(), "after"
    compare(workflow, "after")
    for job in jobs:
        if job.stage == "extract" and draw.random() < 0.5:
            for path in job.outputs:
                Path(path).unlink()
    compare(workflow, "after the features were deleted")
    for job in draw.sample(jobs, 3):
        for path in job.outputs:
            if Path(path).is_file():
                Path(path).unlink()
    compare(workflow, "after other files were deleted")


@pytest.mark.parametrize(("switch", "granularity"), QUICK)
def test_plan_status_and_snakemake_agree(make, monkeypatch, tmp_path, switch, granularity):
    monkeypatch.chdir(tmp_path)
    whole(make(switch, granularity), seed=granularity)


@pytest.mark.slow
@pytest.mark.parametrize(("switch", "granularity"), [case for case in CASES if case not in QUICK])
def test_plan_status_and_snakemake_agree_everywhere(
    make, monkeypatch, tmp_path, switch, granularity
):
    monkeypatch.chdir(tmp_path)
    whole(make(switch, granularity), seed=len(switch) + granularity)
