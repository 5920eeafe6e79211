"""Snakemake's log is read as it grows, and tells what became of each job."""

from __future__ import annotations

import dataclasses
import socket
import time
from pathlib import Path

import pytest

from convergent.ops.runs import RunReader, is_alive, is_of

LOG = Path(__file__).with_name("group_failed.log")
LOGS = "results/small/logs"


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / ".snakemake" / "log"
    folder.mkdir(parents=True)
    return folder / "2026-11-24T194811.313304.snakemake.log"


def read(path, text):
    path.write_text(text)
    return RunReader(path).update()


def test_a_group_that_failed_on_slurm_is_told_member_by_member(log):
    run = read(log, LOG.read_text())
    assert run.states == {
        f"{LOGS}/extract/scenes/tiny-vit/final/layers.0.log": "finished",
        f"{LOGS}/fit/scenes/tiny-vit/final/layers.0.log": "finished",
        f"{LOGS}/extract/scenes/tiny-vit/final/layers.1.log": "failed",
        f"{LOGS}/fit/scenes/tiny-vit/final/layers.1.log": "failed",
    }
    assert run.slurm.startswith("convergent_") and run.host == "login1" and run.ended
    assert run.steps == (2, 5)
    assert [name for _, name in run.finishes] == [
        f"{LOGS}/extract/scenes/tiny-vit/final/layers.0.log",
        f"{LOGS}/fit/scenes/tiny-vit/final/layers.0.log",
    ]
    said = run.said[f"{LOGS}/fit/scenes/tiny-vit/final/layers.1.log"]
    assert said.endswith("group_scenes.tiny-vit.final.layers.1_extract_fit_scenes/26.log")
    assert not run.problems


@pytest.mark.parametrize("piece", [1, 97, 4096])
def test_reading_what_has_come_since_gives_what_reading_at_once_gives(log, piece):
    content = LOG.read_bytes()[: 30 * piece] if piece == 1 else LOG.read_bytes()
    log.write_bytes(b"")
    reader = RunReader(log)
    for first in range(0, len(content), piece):
        with log.open("ab") as file:
            file.write(content[first : first + piece])
        reader.update()
    assert dataclasses.asdict(reader.run) == dataclasses.asdict(RunReader(log).update())


def test_a_job_that_is_tried_again_has_not_failed(log):
    text = LOG.read_text()
    second = text.index("Auto-selected", text.index("Trying to restart"))
    run = read(log, text[:second])
    assert run.states[f"{LOGS}/fit/scenes/tiny-vit/final/layers.1.log"] == "started"
    assert not run.ended and not run.said


LOCAL = """\
Building DAG of jobs...
Select jobs to execute...
Execute 1 jobs...
[Tue Nov 24 19:00:00 2026]
localrule extract:
    output: results/small/features/scenes/gabor/final/features.zarr.zip
    log: results/small/logs/extract/scenes/gabor/final/features.log
    jobid: 7
    reason: Missing output files: results/small/features/scenes/gabor/final/features.zarr.zip
    resources: tmpdir=/scratch, gpu=2, mem_mb=4000
[Tue Nov 24 19:30:00 2026]
Finished jobid: 7 (Rule: extract)
1 of 9 steps (11%) done
"""


def test_gpu_hours_of_a_run_without_slurm_are_those_between_start_and_end(log):
    run = read(log, LOCAL)
    assert run.gpu_seconds == {f"{LOGS}/extract/scenes/gabor/final/features.log": 2 * 1800.0}


QUIET = """\
  Config file(s): [PosixPath('{folder}/study.yaml')]
Select jobs to execute...
RuleException:
CalledProcessError in file "/home/someone/workflow/rules/fit.smk", line 74:
Command 'set -euo pipefail;  convergent fit --model m > {logs}/fit/m.log 2>&1' returned non-zero \
exit status 143.
"""


def test_a_quiet_run_tells_failures_by_their_command(log, tmp_path):
    run = read(log, QUIET.format(folder=tmp_path, logs=LOGS))
    assert run.states == {f"{LOGS}/fit/m.log": "failed"}
    assert is_of(run, str(tmp_path / "study.yaml"), "results/other")
    assert is_of(run, str(tmp_path / "other.yaml"), "results/small")
    assert not is_of(run, str(tmp_path / "other.yaml"), "results/smaller")


def test_errors_of_the_run_itself_are_kept(log):
    run = read(log, "WorkflowError:\nAt least one job did not complete successfully.\n")
    assert not run.problems
    run = read(log, "MissingInputException:\nMissing input files for rule fit:\n")
    assert run.problems == ["Missing input files for rule fit:"]


def test_a_run_lives_while_its_process_has_the_log_open(log):
    run = read(log, LOCAL)
    run.host = socket.gethostname()
    assert is_alive(run, lambda: iter([log.resolve()]))
    assert not is_alive(run, lambda: iter([log.parent]))
    run.ended = True
    assert not is_alive(run, lambda: iter([log.resolve()]))


def test_a_run_of_another_machine_is_believed_while_its_lock_is_there(log):
    run = read(log, LOCAL)
    run.host, run.updated = "another-login-node", time.time() - 7200
    assert not is_alive(run)
    locks = log.parents[1] / "locks"
    locks.mkdir()
    (locks / "0.input.lock").touch()
    assert is_alive(run)
