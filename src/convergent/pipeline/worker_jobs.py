"""The jobs of SLURM in which workers of dask run: submitting, watching and cancelling them."""

from __future__ import annotations

import inspect
import re
import shutil
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from convergent.errors import ConfigError, did_you_mean
from convergent.ops.slurm import queue
from convergent.study import AggregationConfig

_WHERE = "aggregation.slurm"
_INSTALL = "pip install 'convergent[dask-slurm]'"
# Jobs that end before the work does are replaced, so many times a worker.
_REPLACED = 3
# Neither server shows itself on a web page: a login node is shared by many people.
_DEFAULTS: Mapping[str, Any] = {
    "cores": 1,
    "processes": 1,
    "memory": "4GB",
    "scheduler_options": {"dashboard": False, "dashboard_address": ":0"},
    "worker_extra_args": ["--no-dashboard"],
}


@dataclass
class WorkerJobs:
    """Jobs of one process.

    Attributes
    ----------
    cluster : dask_jobqueue.SLURMCluster
    name : str
        Theirs alone, in the queue.
    wanted : int
    logs : str or None
        Folder of what they print.
    refused : list of str
        What ``sbatch`` said.
    ended : int
        Jobs that ended before the work did.
    """

    cluster: Any
    name: str
    wanted: int
    logs: str | None
    refused: list[str]
    ended: int = field(default=0)

    def look(self) -> None:
        """Submit a job for each that is no longer there.

        Raises
        ------
        ConfigError
            SLURM takes none, or those that it took end too often.
        """
        jobs = {name: job.job_id for name, job in dict(self.cluster.workers).items() if job.job_id}
        if self.refused and not jobs:
            raise ConfigError(
                f"SLURM refuses the workers: {self.refused[0]}",
                where=_WHERE,
                fix="correct queue, account, memory and walltime, or set aggregation.scheduler: "
                "threads",
            )
        notes: list[str] = []
        there = {job.id for job in queue([self.name], notes)}
        if notes:  # the queue did not answer: nothing is known of them
            return
        gone = {name: job for name, job in jobs.items() if job not in there}
        if not gone:
            return
        self.ended += len(gone)
        if self.ended > _REPLACED * self.wanted:
            raise ConfigError(
                f"{self.ended} jobs of workers ended before their work did, the last of them "
                f"{', '.join(gone.values())}",
                where=_WHERE,
                fix=f"see their logs in {self.logs} and `sacct -j {next(iter(gone.values()))}`; "
                "correct memory, walltime or interface",
            )
        self.cluster.sync(self.cluster.scale_down, list(gone))
        self.cluster.scale(jobs=self.wanted)

    def said(self) -> str:
        """What the queue says of the jobs."""
        found = queue([self.name], [])
        states = [f"{job.id} {job.state} {job.reason}".strip() for job in found]
        return ", ".join(states) or "none is in the queue"


@contextmanager
def open_cluster(config: AggregationConfig, logs: str | None) -> Iterator[WorkerJobs]:
    """Submit jobs, and cancel them at the end, also at one by SIGTERM or SIGHUP.

    Raises
    ------
    ConfigError
        dask-jobqueue is missing, or does not know a keyword.
    """
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError:
        raise absent("dask-jobqueue", "slurm") from None
    for mistake in keyword_mistakes(config):
        raise mistake
    options = {**_DEFAULTS, "log_directory": logs, **config.slurm}
    given = options.pop("job_name", "convergent-workers")
    name = f"{given}-{uuid.uuid4().hex[:8]}"
    refused: list[str] = []
    try:
        cluster = SLURMCluster(job_cls=_job_class(refused), job_name=name, **options)
    except (TypeError, ValueError, OSError) as error:
        raise ConfigError(
            f"no cluster can be made ({str(error).splitlines()[0]})",
            where=_WHERE,
            fix="see the keywords of dask_jobqueue.SLURMCluster",
        ) from None
    with _cancelled_at_the_end(name), closing(cluster):
        cluster.scale(jobs=config.workers)
        yield WorkerJobs(cluster, name, config.workers, options["log_directory"], refused)


def absent(package: str, scheduler: str) -> ConfigError:
    """Error of a package that is not installed."""
    return ConfigError(
        f"scheduler '{scheduler}' needs the package {package}, which is not installed",
        where="aggregation.scheduler",
        fix=_INSTALL,
    )


def keyword_mistakes(config: AggregationConfig) -> list[ConfigError]:
    """Keywords under ``aggregation.slurm`` that dask-jobqueue does not know, if it is installed."""
    from dask_jobqueue.core import Job, JobQueueCluster
    from dask_jobqueue.slurm import SLURMJob

    makers = (JobQueueCluster.__init__, Job.__init__, SLURMJob.__init__)
    known = {name for maker in makers for name in inspect.signature(maker).parameters}
    known -= {"self", "scheduler", "name", "n_workers", "job_cls", "loop", "asynchronous"}
    known -= {"base_class_kwargs", "job_kwargs"}
    return [
        ConfigError(f"unknown keyword '{key}'", where=_WHERE, fix=did_you_mean(key, known))
        for key in config.slurm
        if key not in known
    ]


def _job_class(refused: list[str]) -> Any:
    """Make a job that writes down that SLURM refuses it, where dask would print a traceback."""
    from dask_jobqueue.slurm import SLURMJob
    from distributed.deploy.spec import ProcessInterface

    class Job(SLURMJob):  # type: ignore[misc]
        async def start(self) -> None:
            try:
                await super().start()
            except (OSError, RuntimeError, ValueError) as error:
                refused.append(_reason(error))
                await ProcessInterface.start(self)

    return Job


def _reason(error: Exception) -> str:
    found = re.search(r"stderr:\n(.*?)\n*\Z", str(error), flags=re.DOTALL)
    return " ".join((found[1] if found and found[1] else str(error)).split())


@contextmanager
def _cancelled_at_the_end(name: str) -> Iterator[None]:
    """Cancel what is left of some jobs.

    SLURM kills a cancelled job a few seconds after it asked it to end, so its workers are
    cancelled first of all; what was being submitted meanwhile is cancelled last of all.
    """

    def stop(number: int, _: FrameType | None) -> None:
        _cancel(name)
        raise SystemExit(128 + number)

    mine = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if threading.current_thread() is threading.main_thread()
        and signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in mine:
        signal.signal(number, stop)
    try:
        yield
    finally:
        _cancel(name)
        for number in mine:
            signal.signal(number, signal.SIG_DFL)


def _cancel(name: str) -> None:
    if shutil.which("scancel") is not None:
        subprocess.run(["scancel", f"--name={name}"], capture_output=True, check=False)
