"""Nodes, limits on submitted jobs and refusals on a SLURM of three nodes."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import chaos
import pytest
import yaml
from _cluster import Place, Run, make_place

from convergent.ops.cluster import partitions
from convergent.ops.status import Status, Watch
from convergent.ops.submission import refusals

pytestmark = pytest.mark.slurm

ACCOUNT = ("sacctmgr", "-Qi", "modify", "user", "root", "where", "account=tests", "set")
OPTIONS = f"{chaos.OPTIONS} --retries 0"


def _call(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def submit_limit(cluster) -> Iterator[Callable[[int], None]]:
    """Limit the jobs that the tests' user may submit, for as long as the module lasts."""
    yield lambda number: _call(*ACCOUNT, f"maxsubmitjobs={number}") and None
    _call(*ACCOUNT, "maxsubmitjobs=-1")


@pytest.fixture(scope="module")
def place(cluster, tmp_path_factory) -> Place:
    """Two layers that ask two GPUs each, with a fit per subject; their inputs are there."""
    place = make_place(tmp_path_factory.mktemp("limits") / "study", 1, 1, {"cka": None})
    table = place.root / "models.tsv"
    table.write_text(table.read_text().replace("\t20000\t", "\t300000000\t"))
    file = place.root / "study.yaml"
    settings = yaml.safe_load(file.read_text())
    settings |= {"fit_granularity": "subject", "resources": {"gpu_mb": 1000}}
    file.write_text(yaml.safe_dump(settings))
    inputs = " ".join(place.study.responses_files("scenes"))
    prepared = place.snakemake(f"--cores 2 --configfile study.yaml -- {inputs}", "inputs.log")
    assert prepared.returncode == 0, prepared.log.read_text()
    return place


@dataclass(frozen=True)
class Watched:
    """A run, its jobs in SLURM's words, and what status said while it waited."""

    run: Run
    jobs: list[str]
    meanwhile: Status | None


@pytest.fixture(scope="module")
def watched(place, submit_limit) -> Watched:
    """Run the layers where each node has one free GPU, and one job more may be submitted."""
    for node in ("node1", "node2", "node3"):
        busy = ("-pgpu", f"-w{node}", "--gpus=3", "-t1", "--mem=100", "-o/dev/null")
        _call("sbatch", *busy, "--wrap", "sleep 10")
    submit_limit(4)
    log, meanwhile = place.root / "run.log", None
    controller = place.start(f"{OPTIONS} -- {' '.join(place.targets)}", log)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place.root)
            watch = Watch(place.study)
            while controller.poll() is None:
                seen = watch.look()
                if any("SLURM takes no more jobs" in note for note in seen.notes):
                    meanwhile = seen
                time.sleep(0.5)
    finally:
        controller.terminate()
        controller.wait()
    run = Run(controller.returncode, 0.0, 0.0, log)
    assert run.returncode == 0, log.read_text()
    numbers = _call("sacct", "-X", "-n", "-P", f"--name={run.identity}", "-oJobIDRaw").split()
    return Watched(run, [_call("scontrol", "show", "job", "-o", one) for one in numbers], meanwhile)


def test_two_gpus_are_two_gpus_of_one_node(watched):
    assert len(watched.jobs) == 2
    for job in watched.jobs:
        assert "JobState=COMPLETED" in job and "gres/gpu=2" in job
        assert " NumNodes=1 " in job


def test_jobs_over_a_limit_are_submitted_later_and_slurms_words_are_in_the_log(watched):
    logs = watched.run.log.parent / ".snakemake" / "log"
    for log in (watched.run.log, max(logs.iterdir())):
        text = log.read_text()
        assert text.count("is not submitted yet, it waits until other jobs have ended") == 1
        assert "AssocMaxSubmitJobLimit" in text and text.count("is submitted now") == 1


def test_status_says_that_jobs_wait_to_be_submitted(watched):
    assert watched.meanwhile is not None
    (note,) = (note for note in watched.meanwhile.notes if "SLURM takes no more" in note)
    assert "AssocMaxSubmitJobLimit" in note
    assert watched.meanwhile.whole.jobs["queued"] > 0 and not watched.meanwhile.failures


def test_a_job_that_slurm_refuses_is_told_in_its_words(place, watched, monkeypatch, submit_limit):
    submit_limit(-1)
    monkeypatch.chdir(place.root)
    refused = place.root / "refused.yaml"
    refused.write_text("partitions: {nowhere: {max_gpu: 8}}")
    Path(place.targets[0]).unlink()
    options = f"{OPTIONS} --slurm-partition-config {refused}"
    run = place.snakemake(f"{options} -- {place.targets[0]}", "refused.log")
    assert run.returncode != 0
    assert "is refused by SLURM (sbatch: error: invalid partition" in run.log.read_text()
    (failure,) = Watch(place.study).look().failures
    assert "SLURM refuses it: sbatch: error: invalid partition specified: nowhere" in failure.said
    assert [one.follows for one in refusals() if one.run == run.identity] == ["failed"]


@pytest.mark.parametrize("how", ["INT", "KILL"])
def test_nothing_is_submitted_once_snakemake_has_ended(
    place, watched, monkeypatch, submit_limit, how
):
    monkeypatch.chdir(place.root)
    # where the tests run in a shell's background, SIGINT is ignored, and children inherit that
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    place.forget()
    blocker = _call("sbatch", "--parsable", "-t1", "-o/dev/null", "--wrap", "sleep 60").strip()
    submit_limit(1)
    log = place.root / f"{how}.log"
    controller = place.start(f"{OPTIONS} -- {' '.join(place.targets)}", log)
    signal.signal(signal.SIGINT, earlier)
    try:
        while not (identity := _run_of(log)) or not any(one.run == identity for one in refusals()):
            assert controller.poll() is None, log.read_text()
            time.sleep(0.2)
        _call("kill", f"-{how}", str(controller.pid))
        controller.wait(timeout=60)
    finally:
        controller.kill()
        controller.wait()
        _call("scancel", blocker)
    while _call("ps", "-eo", "args").count(f"submission/sbatch --parsable --job-name {identity}"):
        time.sleep(0.2)
    assert not _call("squeue", "-h", "--states=all", f"--name={identity}")
    if how == "KILL":
        place.snakemake("--configfile study.yaml --unlock", "unlock.log")


def _run_of(log: Path) -> str:
    lines = log.read_text().splitlines() if log.exists() else []
    return next((line.split()[-1] for line in lines if "SLURM run ID" in line), "")


def test_doctor_compares_the_study_with_the_sites_limits(place, submit_limit):
    submit_limit(3)
    profile = place.root / "profiles" / "slurm"
    found = [
        check for check in partitions(place.study, profile) if check.about == "cluster: limits"
    ]
    few, later = (check.text for check in found)
    assert "200 jobs are submitted at once" in few and "takes 3" in few
    assert later.startswith("at attempt 3, 2 of ") and "the 24 h of partition 'gpu'" in later
    _call("scontrol", "update", "partitionname=gpu", "MaxTime=60")
    try:
        found = list(partitions(place.study, profile))
    finally:
        _call("scontrol", "update", "partitionname=gpu", "MaxTime=1-00:00:00")
    (problem,) = (check for check in found if check.level == "problem")
    assert problem.text.startswith("2 of ") and "the 1 h of partition 'gpu'" in problem.text
