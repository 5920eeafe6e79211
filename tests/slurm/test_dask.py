"""dask's workers as jobs of SLURM: who reads, who dies, and what is left in the queue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import scores_fixtures as made
from convergent.errors import ConfigError, StoreError
from convergent.pipeline.workers import workers
from convergent.store import StoreRequest, read_store
from convergent.study import AggregationConfig, Study

for package in ("dask_jobqueue", "cryptography"):
    pytest.importorskip(package, reason="the extra dask-slurm is not installed")
pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("cluster")]
OPTIONS = {"queue": "cpu", "account": "tests", "memory": "1GB", "walltime": "00:05:00"}
LATER = {"job_extra_directives": ["--begin=now+1hour"]}
TABLES = ("measurements", "alignment", "coverage", "resampled")


def call(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def queued(name: str) -> list[str]:
    """Jobs of workers with a name that begins so, which are not about to end."""
    rows = [line.split("|") for line in call("squeue", "-h", "-o", "%i|%j|%T").splitlines()]
    return [row[0] for row in rows if row[1].startswith(name) and row[2] != "COMPLETING"]


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def on_slurm(name: str, **more) -> AggregationConfig:
    wait = more.pop("wait_minutes", 5)
    options = {**OPTIONS, "job_name": name, **more}
    return AggregationConfig(scheduler="slurm", workers=1, slurm=options, wait_minutes=wait)


def where_it_runs(_: int) -> dict[str, str]:
    # sent to a worker as it is: a worker does not know this module
    import os
    import sys

    return {
        "python": sys.executable,
        "path": os.environ["PATH"],
        "job": os.environ.get("SLURM_JOB_ID", ""),
        "pid": str(os.getppid()),
    }


def sent(function):
    """Let cloudpickle send a function's code and not its module's name."""
    function.__module__ = "__main__"
    return function


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    monkeypatch.chdir(tmp_path)
    return made.made_study(tmp_path)


def test_a_worker_is_as_configured_and_is_replaced_when_its_job_ends(study, tmp_path):
    keys = {"dataset": "scenes", "model": "net-a", "checkpoint": "final", "subject": "s1"}
    asked, missing = (
        StoreRequest.of(study, "fit", {**keys, "layer": f"layers.{k}"}).absolute() for k in (0, 1)
    )
    Path(missing.path).unlink()
    with workers(on_slurm("dask-replaced"), str(tmp_path / "logs")) as readers:
        (first,) = readers.each(sent(where_it_runs), [0])
        job = call("scontrol", "show", "job", "-o", first["job"])
        assert "Partition=cpu" in job and "Account=tests" in job and "TimeLimit=00:05:00" in job
        assert "tls://" in Path(f"/proc/{first['pid']}/cmdline").read_text()
        assert first["python"] == sys.executable and first["path"] == os.environ["PATH"]
        with pytest.raises(StoreError, match=r"the store is missing|does not exist"):
            list(readers.each(_read_all, [asked, missing]))
        call("scancel", first["job"])
        until(lambda: first["job"] not in queued("dask-replaced"))
        (second,) = readers.each(sent(where_it_runs), [0])
        assert second["job"] != first["job"]
    assert list((tmp_path / "logs").glob("dask-replaced-*.err"))
    until(lambda: not queued("dask-replaced"))


def _read_all(asked: StoreRequest):
    return read_store(asked)


_read_all.__module__ = "__main__"


def test_a_job_of_slurm_writes_the_same_bytes_with_workers_of_its_own(study, tmp_path):
    def run(aggregation: str) -> dict[str, bytes]:
        command = (
            f"{sys.executable} -m convergent maps --study study.yaml --dataset scenes"
            f" --set 'aggregation={aggregation}'"
        )
        done = subprocess.run(
            ["sbatch", "--wait", "--mem=1G", "-t5", f"-o{tmp_path}/out", f"--wrap={command}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (tmp_path / "out").read_text()
        path = Path(study.paths.maps("scenes"))
        content = path.read_bytes()
        path.unlink()
        return content

    options = ", ".join(f"{key}: '{value}'" for key, value in OPTIONS.items())
    elsewhere = run(f"{{scheduler: slurm, workers: 1, slurm: {{job_name: dask-job, {options}}}}}")
    assert elsewhere == run("{workers: 1}")
    until(lambda: not queued("dask-job"))


def test_workers_that_never_start_are_an_error_and_leave_the_queue():
    config = on_slurm("dask-late", wait_minutes=0.03, **LATER)
    with (
        pytest.raises(ConfigError, match=r"no worker has started .*PENDING BeginTime.*threads"),
        workers(config) as readers,
    ):
        list(readers.each(str, [1]))
    assert not queued("dask-late")


def test_workers_that_slurm_refuses_are_an_error_in_its_words():
    with (
        pytest.raises(ConfigError, match=r"refuses the workers: .*invalid partition.*nowhere"),
        workers(on_slurm("dask-refused", queue="nowhere")) as readers,
    ):
        list(readers.each(str, [1]))


def test_a_killed_process_leaves_no_worker_in_the_queue(study, tmp_path):
    config = on_slurm("dask-killed", **LATER)
    script = (
        "from convergent.pipeline.workers import workers\n"
        "from convergent.study import AggregationConfig\n"
        f"with workers(AggregationConfig(**{config.model_dump()!r})) as readers:\n"
        "    list(readers.each(str, [1]))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    until(lambda: queued("dask-killed"))
    assert list(tmp_path.glob(".dask-jobqueue.worker.key.*"))  # workers are asked for a key
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    assert not queued("dask-killed")
    assert not list(tmp_path.glob(".dask-jobqueue.worker.*"))
