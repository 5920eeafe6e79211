"""What a cluster does to jobs, one fault a layer; the accounting tells what followed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import chaos
import psutil
import pytest
from _cluster import Job, Place, make_place, recorded

pytestmark = pytest.mark.slurm

OPTIONS = "--profile slurm --configfile study.yaml --slurm-init-seconds-before-status-checks 2"
LAYERS = [f"{check}.layers.{i}" for check in ("final", "random-0") for i in range(3)]
HUNGRY, SLOW, CANCELLED, REQUEUED, KILLED, UNTOUCHED = LAYERS


@dataclass(frozen=True)
class Broken:
    """A finished run, SLURM's record of it, and the jobs' states while the nodes were drained."""

    place: Place
    right: dict[str, str]
    jobs: dict[str, list[Job]]
    drained: set[str]
    returncode: int
    told: str


def _call(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def _layer(comment: str) -> str:
    return comment.removeprefix("rule_scenes.vit-0.").split("_")[0]


def _queue(place: Place) -> dict[str, tuple[str, str]]:
    """Number and state of each layer's job."""
    lines = (line.split("|") for line in _call("squeue", "-h", "-o%i|%T|%k|%Z").splitlines())
    return {
        _layer(comment): (job, state)
        for job, state, comment, folder in lines
        if folder == str(place.root)
    }


def _until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _worker(place: Place, layer: str) -> int | None:
    checkpoint, _, name = layer.partition(".")
    for process in chaos.workers(place.root):
        try:
            words = process.cmdline()
        except psutil.Error:  # it has just ended
            continue
        if checkpoint in words and name in words:
            return process.pid
    return None


def _break(place: Place, layer: str, queue: dict[str, tuple[str, str]]) -> bool:
    """Do to a running layer what is planned for it; whether that was possible now."""
    job, state = queue.get(layer, ("", ""))
    worker = _worker(place, layer) if state == "RUNNING" else None
    if worker is None:
        return False
    try:
        if layer == SLOW:
            os.kill(worker, signal.SIGSTOP)
        elif layer == KILLED:
            os.kill(worker, signal.SIGKILL)
        elif layer == CANCELLED:
            _call("scancel", job)
        else:
            _call("scontrol", "requeue", job)
    except ProcessLookupError:  # its extraction has just ended, its fits will come
        return False
    return True


@pytest.fixture(scope="module")
def broken(cluster, tmp_path_factory) -> Broken:
    """Submit six layers while all nodes are drained, resume these, and break five layers."""
    place = make_place(tmp_path_factory.mktemp("faults") / "study", 1, 3, {"cka": None})
    right = chaos.undisturbed(place)
    place.forget()
    chaos.allow_requeue(place)
    nodes = f"nodename={_call('sinfo', '-h', '-pcpu', '-o%N').strip()}"
    _call("scontrol", "update", nodes, "state=drain", "reason=test")
    log = place.root / "faults.log"
    try:
        controller = place.start(f"{OPTIONS} --retries 2 -- {' '.join(place.targets)}", log)
        _until(lambda: set(LAYERS) <= set(_queue(place)) or controller.poll() is not None)
        assert controller.poll() is None, log.read_text()
        time.sleep(2)
        queue = _queue(place)
        _call("scontrol", "update", f"jobid={queue[HUNGRY][0]}", "MinMemoryNode=150")
        _call("scontrol", "update", f"jobid={queue[SLOW][0]}", "TimeLimit=1")
    finally:
        _call("scontrol", "update", nodes, "state=resume")
    todo = [SLOW, CANCELLED, REQUEUED, KILLED]
    try:
        while controller.poll() is None:
            now = _queue(place)
            todo = [layer for layer in todo if not _break(place, layer, now)]
            chaos.hurry()
            time.sleep(0.2)
    finally:
        controller.terminate()  # as Ctrl-C does, it then cancels its jobs
        controller.wait()
    assert not todo
    told = log.read_text()
    identity = next(line.split()[-1] for line in told.splitlines() if "SLURM run ID" in line)
    jobs: dict[str, list[Job]] = {}
    for job in recorded(identity, duplicates=True):
        jobs.setdefault(_layer(job.comment), []).append(job)
    drained = {state for _, state in queue.values()}
    return Broken(place, right, jobs, drained, controller.returncode, told)


def _states(broken: Broken, layer: str) -> list[str]:
    return [job.state for job in broken.jobs[layer]]


def test_the_study_is_finished_with_the_right_bytes(broken):
    assert broken.returncode == 0, broken.told
    assert broken.place.digests() == broken.right
    assert broken.place.temporaries() == []


def test_jobs_wait_for_drained_nodes(broken):
    assert broken.drained == {"PENDING"}
    assert {layer for layer, jobs in broken.jobs.items() if jobs[-1].state == "COMPLETED"} == set(
        LAYERS
    )


def test_a_job_out_of_memory_is_submitted_again_with_twice_the_memory_it_asked(broken):
    first, second = broken.jobs[HUNGRY]
    # without cgroups SLURM ends the step for its memory, and the job then says FAILED
    assert (first.state, second.state) in (
        ("OUT_OF_MEMORY", "COMPLETED"),
        ("FAILED", "COMPLETED"),
    )
    (log,) = (broken.place.root / "logs" / "slurm").rglob(f"{first.id}.log")
    assert "exceeded memory limit" in log.read_text() or first.state == "OUT_OF_MEMORY"
    normal = broken.jobs[SLOW][0].memory_mb
    assert second.memory_mb >= 2 * normal - 10  # a layer's share of the weights differs


def test_a_job_over_its_time_is_submitted_again_with_twice_the_time_it_asked(broken):
    first, second = broken.jobs[SLOW]
    assert (first.state, second.state) == ("TIMEOUT", "COMPLETED")
    assert second.minutes == 2 * broken.jobs[UNTOUCHED][0].minutes


def test_a_cancelled_job_is_submitted_again(broken):
    assert _states(broken, CANCELLED) == ["CANCELLED", "COMPLETED"]


def test_a_job_whose_command_is_killed_is_submitted_again(broken):
    assert _states(broken, KILLED) == ["FAILED", "COMPLETED"]


def test_a_requeued_job_runs_again_under_its_number(broken):
    first, second = broken.jobs[REQUEUED]
    assert first.id == second.id
    assert second.state == "COMPLETED"


def test_a_failed_job_is_named_with_its_log(broken):
    cancelled, _ = broken.jobs[CANCELLED]
    layer = f"scenes.vit-0.{CANCELLED}"
    assert f"Error in group {layer}" in broken.told
    assert f"group_{layer}_extract_fit_scenes/{cancelled.id}.log" in broken.told
