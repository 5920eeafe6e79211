"""Faults on one machine: a full disk, a killed or interrupted controller, two at once."""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import forked

# As Snakemake gives to each job: sums of other numbers of threads round otherwise.
ONE_THREAD = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LAYER = ("--model", "tiny-vit", "--checkpoint", "final", "--layer", "layers.1")
FEATURES = "features/scenes/tiny-vit/final/layers.1.zarr.zip"
ALIGNMENT = "alignment/scenes/tiny-vit/final/layers.1/sim01.zarr.zip"
STAGES = {
    "responses": (("--dataset", "scenes", "--subject", "sim01"), "responses/scenes/sim01.zarr.zip"),
    "extract": (LAYER, FEATURES),
    "fit": ((*LAYER, "--subject", "sim01"), ALIGNMENT),
    "measure": (("--model", "tiny-vit"), "models/tiny-vit.parquet"),
}


def _command(stage: str) -> list[str]:
    arguments, _ = STAGES[stage]
    return [forked.program("convergent"), stage, *arguments, "--study", "study.yaml"]


def _run(
    workflow, stage: str, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(stage),
        cwd=workflow.folder,
        env=ONE_THREAD,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=before,
    )


def _forget(path: Path) -> None:
    """Remove a result and the link that is kept of it."""
    path.unlink()
    path.with_name(f".{path.name}").unlink(missing_ok=True)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "results").rglob("*"))
        if path.is_file() and path.suffix in (".zip", ".parquet") and not path.name.startswith(".")
    }


def _temporaries(folder: Path) -> list[Path]:
    return list((folder / "results").rglob(".*.tmp"))


@pytest.mark.parametrize("stage", STAGES)
def test_no_room_for_a_file_is_told_and_leaves_the_earlier_results(workflow, stage):
    workflow.write()
    output = workflow.folder / "results/small" / STAGES[stage][1]
    whole = output.read_bytes()
    _forget(output)
    earlier = _digests(workflow.folder)

    def quota() -> None:  # the file may grow to half of what it needs
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) // 2, len(whole) // 2))

    failed = _run(workflow, stage, quota)
    assert failed.returncode != 0
    assert output.name in failed.stderr
    assert "check free space, quota and permissions" in failed.stderr
    assert not output.exists()
    assert not _temporaries(workflow.folder)
    now = _digests(workflow.folder)
    assert {name: now[name] for name in earlier if name in now} == {
        name: digest for name, digest in earlier.items() if name in now
    }
    assert set(earlier) - set(now) <= {str(output.relative_to(workflow.folder))}
    assert _run(workflow, stage).returncode == 0
    assert output.read_bytes() == whole


def test_a_full_disk_is_told_and_leaves_the_earlier_results(workflow, tmp_path):
    workflow.write()
    place = workflow.folder / "results/small/features/scenes/tiny-vit/final"
    whole = (place / "layers.1.zarr.zip").read_bytes()
    other = (place / "layers.0.zarr.zip").read_bytes()
    size = len(other) + len(whole) // 2
    shutil.rmtree(place)
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    try:
        (place / "layers.0.zarr.zip").write_bytes(other)
        failed = _run(workflow, "extract")
        assert failed.returncode != 0
        assert str(Path(FEATURES).parent) in failed.stderr
        assert "No space left on device" in failed.stderr
        assert [path.name for path in place.iterdir()] == ["layers.0.zarr.zip"]
        assert (place / "layers.0.zarr.zip").read_bytes() == other
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("stage", ["extract", "fit"])
def test_the_same_stage_twice_at_once_publishes_one_store_of_the_right_bytes(workflow, stage):
    workflow.write()
    output = workflow.folder / "results/small" / STAGES[stage][1]
    whole = output.read_bytes()
    _forget(output)
    both = [
        subprocess.Popen(
            _command(stage), cwd=workflow.folder, env=ONE_THREAD, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    told = [process.communicate()[1].decode() for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert output.read_bytes() == whole
    assert not _temporaries(workflow.folder)


def _start(workflow, *options: str) -> subprocess.Popen[str]:
    """Start Snakemake in a session of its own, so that it and its jobs can be killed together.

    Its jobs import what they need: that is the time in which they are met.
    """
    workflow.write()
    command = [sys.executable, "-m", "snakemake", "--snakefile", workflow.repository / "Snakefile"]
    command += ["--configfile", workflow.folder / "study.yaml", "--cores", "1", *options]
    return subprocess.Popen(
        command,
        cwd=workflow.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _in_a_job(workflow, process: subprocess.Popen[str]) -> None:
    """Wait until an extraction of the run has begun."""
    deadline = time.monotonic() + 120
    while not _workers(workflow.folder):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)  # it is somewhere in its work


@pytest.fixture
def to_do(workflow):
    """One layer of a finished study is to be made again: its digests."""
    right = _digests(workflow.folder)
    results = workflow.folder / "results/small"
    (results / FEATURES).unlink()
    for subject in ("sim01", "sim02"):
        _forget(results / f"alignment/scenes/tiny-vit/final/layers.1/{subject}.zarr.zip")
    return right


TARGETS = [
    f"results/small/alignment/scenes/tiny-vit/final/layers.1/{subject}.zarr.zip"
    for subject in ("sim01", "sim02")
]


def test_a_killed_controller_leaves_a_lock_and_its_study_goes_on_after_unlock(workflow, to_do):
    process = _start(workflow, *TARGETS)
    _in_a_job(workflow, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert _digests(workflow.folder).items() <= to_do.items()  # whole or absent
    refused = workflow.snakemake(*TARGETS, check=False)
    assert refused.returncode != 0
    assert "cannot be locked" in refused.stdout + refused.stderr
    assert "--unlock" in refused.stdout + refused.stderr
    workflow.snakemake("--unlock")
    workflow.snakemake("--rerun-incomplete", *TARGETS)
    assert _digests(workflow.folder) == to_do


def test_an_interrupted_controller_stops_its_jobs_and_leaves_no_lock(workflow, to_do):
    process = _start(workflow, *TARGETS)
    _in_a_job(workflow, process)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    told, _ = process.communicate(timeout=120)
    assert process.returncode != 0, told
    assert _digests(workflow.folder).items() <= to_do.items()  # whole or absent
    workflow.snakemake("--rerun-incomplete", *TARGETS)
    assert _digests(workflow.folder) == to_do


def test_a_second_controller_is_refused_and_does_not_disturb_the_first(workflow, to_do):
    process = _start(workflow, *TARGETS)
    _in_a_job(workflow, process)
    refused = workflow.snakemake(*TARGETS, check=False)
    assert refused.returncode != 0
    assert "no other Snakemake process" in refused.stdout + refused.stderr
    told, _ = process.communicate()
    assert process.returncode == 0, told
    assert _digests(workflow.folder) == to_do


def test_a_job_that_is_killed_is_tried_again_with_more_memory(workflow, to_do):
    """A process that the system ends for its memory ends with SIGKILL, as this one does."""
    process = _start(workflow, "--retries", "1", *TARGETS)
    _in_a_job(workflow, process)
    for worker in _workers(workflow.folder):
        os.kill(worker, signal.SIGKILL)
    told, _ = process.communicate()
    assert process.returncode == 0, told
    assert "Trying to restart job" in told
    assert "mem_mb=8" in told  # 4 GB and the weights, twice
    assert _digests(workflow.folder) == to_do


def _workers(folder: Path) -> list[int]:
    """Extractions that run in a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if b"extract" in words and (entry / "cwd").readlink() == folder.resolve():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
