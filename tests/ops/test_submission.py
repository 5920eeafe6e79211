"""The sbatch that Snakemake's executor finds first, in front of a stand-in for SLURM's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from convergent.ops import submission
from convergent.ops.submission import Refusal, refusals, wait_at_limits

CALL = ["sbatch", "--parsable", "--job-name", "run-1", "--comment", "rule_fit_m", "--wrap=true"]
LIMIT = "sbatch: error: QOSMaxSubmitJobPerUserLimit\nsbatch: error: Batch job submission failed"


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A stand-in that runs a script; its environment, options and input are written down."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in ("CONVERGENT_SUBMISSIONS", "CONVERGENT_CONTROLLER"):
        monkeypatch.setenv(name, "")  # what is set below is undone
    # dask-jobqueue, once it is imported, has another handler
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    def make(script: str) -> list[str]:
        path = folder / "sbatch"
        path.write_text(f'#!/bin/sh\nenv > env\necho "$@" > options\ncat > input\n{script}\n')
        path.chmod(0o755)
        warned: list[str] = []
        wait_at_limits(warned.append)
        return warned

    yield make
    signal.signal(signal.SIGINT, handler)


def call(text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        CALL, input=text, capture_output=True, text=True, env=os.environ | environment
    )


def test_a_job_that_is_taken_passes_as_it_is(slurm):
    path = os.environ["PATH"]
    slurm("echo 17; echo a warning >&2")
    done = call("#!/bin/sh\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "17\n", "a warning\n")
    assert Path("options").read_text().split() == CALL[1:]
    assert Path("input").read_text() == "#!/bin/sh\n"
    seen = dict(line.partition("=")[::2] for line in Path("env").read_text().splitlines())
    assert seen["PATH"] == path and "CONVERGENT_SUBMISSIONS" not in seen  # jobs inherit it
    assert refusals() == []


def test_a_job_that_is_refused_for_good_fails_at_once_with_slurms_words(slurm):
    warned = slurm("echo 'sbatch: error: invalid account' >&2; exit 1")
    done = call()
    assert (done.returncode, done.stderr) == (1, "sbatch: error: invalid account\n")
    assert refusals() == [Refusal("failed", "run-1", "fit_m", "sbatch: error: invalid account")]
    deadline = time.monotonic() + 30
    while not warned:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert warned == ["fit_m is refused by SLURM (sbatch: error: invalid account)"]


def test_a_job_over_a_limit_is_taken_once_others_have_ended(slurm):
    slurm(f"[ -e taken ] && exec echo 18; touch taken; echo '{LIMIT}' >&2; exit 1")
    done = call("input\n")
    assert (done.returncode, done.stdout) == (0, "18\n")
    assert Path("input").read_text() == "input\n"  # the second time as the first
    assert [one.follows for one in refusals()] == ["submitted"]
    (record,) = Path(".snakemake/submissions").glob("*.tsv")
    assert [line.split("\t")[1] for line in record.read_text().splitlines()] == [
        "waits",
        "submitted",
    ]


def test_waiting_has_an_end(slurm):
    slurm(f"echo '{LIMIT}' >&2; exit 1")
    done = call(CONVERGENT_SUBMIT_MINUTES="0")
    assert done.returncode == 1 and "QOSMaxSubmitJobPerUserLimit" in done.stderr
    assert [one.follows for one in refusals()] == ["failed"]


@pytest.mark.parametrize("how", ["interrupted", "gone"])
def test_nothing_is_submitted_once_snakemake_ends(slurm, how):
    slurm("touch submitted; echo 19")
    if how == "interrupted":
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        done = call()
    else:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        done = call(CONVERGENT_CONTROLLER=str(ended.pid))
    assert done.returncode == 1 and "because Snakemake ends" in done.stderr
    assert not Path("submitted").exists()


def test_without_slurm_nothing_is_put_in_its_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    wait_at_limits(print)
    assert os.environ["PATH"] == str(tmp_path) and not list(tmp_path.iterdir())


def test_the_program_is_installed_as_one():
    assert os.access(Path(submission.__file__).with_name("sbatch"), os.X_OK)
