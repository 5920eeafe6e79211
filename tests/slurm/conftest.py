"""A SLURM of three nodes for the tests, and a fresh copy of the workflow to run on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "benchmarks"))  # the study of small models, and its chaos
WORKFLOW = ("Snakefile", "workflow", "config", "envs", "profiles", "slurm")


def _call(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _answers() -> bool:
    return shutil.which("sinfo") is not None and _call("sinfo", "-h").returncode == 0


def _unavailable(reason: str) -> None:
    if os.environ.get("CONVERGENT_REQUIRE_SLURM") == "1":
        pytest.fail(f"CONVERGENT_REQUIRE_SLURM=1, but {reason}")
    pytest.skip(f"{reason} (CONVERGENT_REQUIRE_SLURM=1 makes this a failure)")


@pytest.fixture(scope="session")
def cluster() -> Iterator[None]:
    """A SLURM that answers: the one that runs already, or one started here and stopped again."""
    if _answers():
        yield
        return
    if os.geteuid() != 0:
        _unavailable("no SLURM answers, and only root can start one")
    if not shutil.which("slurmctld") and not shutil.which("apt-get"):
        _unavailable("no SLURM is installed, and there is no apt-get to install it")
    # Daemons inherit a pipe and would keep it open: their output goes to a file.
    with (Path(os.devnull)).open("w") as nowhere:
        started = subprocess.run(
            [HERE / "slurm-up.sh"], stdout=nowhere, stderr=subprocess.DEVNULL, check=False
        )
    if started.returncode != 0:
        _call(str(HERE / "slurm-down.sh"))
        _unavailable("tests/slurm/slurm-up.sh failed; run it to see why")
    yield
    stopped = _call(str(HERE / "slurm-down.sh"))
    assert stopped.returncode == 0, stopped.stderr


@dataclass(frozen=True)
class SlurmJob:
    """One line of the accounting."""

    id: str
    partition: str
    state: str
    cpus: int
    gpus: int
    memory_mb: int
    minutes: int
    comment: str


@dataclass
class Workspace:
    """The workflow's files, copied as a new user has them, and what ran there."""

    root: Path

    def snakemake(self, arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``snakemake --profile slurm`` as a person types it, from the root."""
        environment = dict(os.environ)
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        environment["XDG_CONFIG_HOME"] = str(self.root / "nobody")  # no profile of the user's
        return subprocess.run(
            f"snakemake --profile slurm {arguments}",
            shell=True,
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def jobs(self, run: subprocess.CompletedProcess[str]) -> list[SlurmJob]:
        """SLURM's own record of the jobs that a run submitted."""
        identity = next(
            line.split()[-1] for line in run.stderr.splitlines() if "SLURM run ID" in line
        )
        deadline = time.monotonic() + 30
        while True:  # the accounting lags a little behind the end of a job
            jobs = self._accounted(identity)
            if all(job.state not in ("PENDING", "RUNNING") for job in jobs):
                return jobs
            assert time.monotonic() < deadline, jobs
            time.sleep(1)

    @staticmethod
    def _accounted(name: str) -> list[SlurmJob]:
        columns = "JobIDRaw,Partition,State,AllocCPUS,AllocTRES,TimelimitRaw,Comment"
        table = _call(
            "sacct", "-X", "-n", "-P", "--starttime=now-1day", f"--name={name}", f"-o{columns}"
        )
        assert table.returncode == 0, table.stderr
        jobs = []
        for line in table.stdout.splitlines():
            id_, partition, state, cpus, resources, minutes, comment = line.split("|", 6)
            asked = dict(item.split("=") for item in resources.split(",") if item)
            memory = asked.get("mem", "0M")
            scale = {"M": 1, "G": 1024}[memory[-1]]
            jobs.append(
                SlurmJob(
                    id=id_,
                    partition=partition,
                    state=state.split()[0],
                    cpus=int(cpus),
                    gpus=int(asked.get("gres/gpu", 0)),
                    memory_mb=round(float(memory[:-1]) * scale),
                    minutes=int(minutes),
                    comment=comment,
                )
            )
        return jobs


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, cluster: None) -> Workspace:
    """A directory with the workflow and nothing else."""
    root = tmp_path_factory.mktemp("convergent")
    for name in WORKFLOW:
        source = HERE.parents[1] / name
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, root / name, symlinks=True)
        else:
            shutil.copy(source, root / name, follow_symlinks=False)
    return Workspace(root)
