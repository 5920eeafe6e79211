"""Workers of dask elsewhere: jobs of SLURM, or those of a scheduler that runs already.

dask-jobqueue submits, replaces and cancels jobs; distributed waits for workers and gives up. Added
here: errors in one line, with SLURM's words for a job that it refuses or keeps waiting, workers of
other versions refused, and an end by SIGTERM that leaves no job in the queue.
"""

from __future__ import annotations

import inspect
import signal
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from convergent.errors import ConfigError, did_you_mean
from convergent.ops.slurm import queue
from convergent.study import AggregationConfig

_SLURM, _SCHEDULER = "aggregation.slurm", "aggregation.scheduler"
_ANSWER_SECONDS = 30
_PACKAGES = ("convergent", "numpy", "zarr")
_FIX = (
    "give workers more memory, another queue, or more time to start (aggregation.wait_minutes), or "
    "set aggregation.scheduler: threads"
)
# Neither server shows itself on a web page, because many people share a login node.
_DEFAULTS: Mapping[str, Any] = {
    "cores": 1,
    "processes": 1,
    "memory": "4GB",
    "security": True,  # TLS, with credentials for this cluster alone
    "scheduler_options": {"dashboard": False, "dashboard_address": ":0"},
    "worker_extra_args": ["--no-dashboard"],
}


@dataclass(frozen=True)
class Remote:
    """A client of a scheduler that has at least one worker, and the key that chose these."""

    client: Any
    where: str

    def compute(self, tasks: Sequence[Any]) -> list[Any]:
        """Results of delayed tasks, in their order.

        Raises
        ------
        ConfigError
            Workers die or have other packages, none is left, or the scheduler is gone.
        ConvergentError
            A task's own.
        """
        from concurrent.futures import CancelledError

        from distributed import KilledWorker
        from distributed.comm import CommClosedError
        from distributed.scheduler import NoWorkerError

        try:
            results: list[Any] = self.client.gather(self.client.compute(list(tasks)))
            versions = self.client.get_versions(packages=_PACKAGES)
        except KilledWorker:
            _fail("workers died while they read a store", _FIX, self.where)
        except NoWorkerError:
            _fail("no worker is left", _FIX, self.where)
        except (CancelledError, CommClosedError):
            _fail("the dask scheduler is gone", "start it again, or set threads", self.where)
        here = _versions(versions["client"])
        for other in map(_versions, versions["workers"].values()):
            if other != here:
                fix = "start workers with the Python that runs convergent"
                _fail(f"a worker has {other}, and this process has {here}", fix, self.where)
        return results


def _versions(found: Mapping[str, Any]) -> str:
    """Versions that decide the bytes of results."""
    packages = found["packages"]
    python = ".".join(packages["python"].split(".")[:2])
    return ", ".join((f"Python {python}", *(f"{name} {packages[name]}" for name in _PACKAGES)))


@contextmanager
def on_slurm(config: AggregationConfig, logs: str | None) -> Iterator[tuple[Remote, int]]:
    """Submit workers to SLURM; none is left there at the end, whatever the end is.

    Yields
    ------
    Remote
    int
        Threads that they have.

    Raises
    ------
    ConfigError
        A package is missing, a keyword is unknown, SLURM refuses the jobs, or none starts in time.
    """
    for mistake in slurm_mistakes(config):
        raise mistake
    import dask
    from dask_jobqueue import SLURMCluster
    from distributed import Client

    jobs = f"{config.slurm.get('job_name', 'convergent-workers')}-{uuid.uuid4().hex[:8]}"
    folder = Path(logs or ".").absolute()
    folder.mkdir(parents=True, exist_ok=True)
    options = {**_DEFAULTS, "log_directory": logs, "shared_temp_directory": str(folder)}
    options |= {**config.slurm, "job_name": jobs}
    refused: list[str] = []
    seconds = 60 * config.wait_minutes
    with (
        _closed_at_signals(),
        dask.config.set({"distributed.scheduler.no-workers-timeout": seconds}),
    ):
        try:
            cluster = SLURMCluster(job_cls=_job_class(refused), **options)
        except (TypeError, ValueError, OSError) as error:
            fix = "see the keywords of dask_jobqueue.SLURMCluster"
            _fail(f"no cluster can be made ({_first_line(error)})", fix)
        with ExitStack() as files, cluster, Client(cluster, set_as_default=False) as client:
            # dask-jobqueue leaves the workers' keys to the garbage collection
            for name in {"_job_key", "_job_cert", "_job_ca_file"} & vars(cluster).keys():
                files.enter_context(closing(vars(cluster)[name]))
            cluster.adapt(minimum_jobs=config.workers, maximum_jobs=config.workers)
            end = time.monotonic() + seconds
            while not _has_worker(client, min(1.0, seconds)):
                if refused:
                    _fail(f"SLURM refuses the workers: {refused[0]}", f"correct {_SLURM}")
                if time.monotonic() > end:
                    said = "; ".join(
                        f"{job.id} {job.state} {job.reason}" for job in queue([jobs], [])
                    )
                    minutes = f"{config.wait_minutes:g} minutes"
                    _fail(f"no worker has started within {minutes} ({said})", _FIX)
            yield Remote(client, _SLURM), config.workers * int(options["cores"])


@contextmanager
def at_address(config: AggregationConfig) -> Iterator[tuple[Remote, int]]:
    """Ask a scheduler that runs already, and leave it and its workers as they are."""
    for mistake in lacking(config.scheduler, "distributed"):
        raise mistake
    from distributed import Client

    said = f"the dask scheduler at '{config.scheduler}'"
    try:
        opened = Client(config.scheduler, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        fix = "start it (`dask scheduler`), or set threads"
        _fail(f"{said} does not answer ({_first_line(error)})", fix, _SCHEDULER)
    with opened as client:
        if not _has_worker(client, 60 * config.wait_minutes):
            fix = f"start some (`dask worker {config.scheduler}`), or set threads"
            _fail(f"{said} has had no worker for {config.wait_minutes:g} minutes", fix, _SCHEDULER)
        yield Remote(client, _SCHEDULER), max(config.workers, sum(client.nthreads().values()))


def _fail(what: str, fix: str, where: str = _SLURM) -> NoReturn:
    raise ConfigError(what, where=where, fix=fix) from None


def lacking(scheduler: str, *modules: str) -> list[ConfigError]:
    """Errors of packages that are not installed."""
    said = "scheduler '{}' needs the package {}, which is not installed"
    return [
        ConfigError(
            said.format(scheduler, module.replace("_", "-")),
            where=_SCHEDULER,
            fix="pip install 'convergent[dask-slurm]'",
        )
        for module in modules
        if find_spec(module) is None
    ]


def slurm_mistakes(config: AggregationConfig) -> list[ConfigError]:
    """Missing packages, else keywords under ``aggregation.slurm`` that dask-jobqueue lacks."""
    if mistakes := lacking("slurm", "distributed", "dask_jobqueue", "cryptography"):
        return mistakes
    from dask_jobqueue.core import Job, JobQueueCluster
    from dask_jobqueue.slurm import SLURMJob

    makers = (JobQueueCluster.__init__, Job.__init__, SLURMJob.__init__)
    known = {name for maker in makers for name in inspect.signature(maker).parameters}
    known -= {"self", "scheduler", "name", "n_workers", "job_cls", "loop", "asynchronous"}
    known -= {"base_class_kwargs", "job_kwargs"}
    return [
        ConfigError(f"unknown keyword '{key}'", where=_SLURM, fix=did_you_mean(key, known))
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
            except (OSError, RuntimeError) as error:
                refused.append(" ".join(str(error).rpartition("stderr:")[2].split()))
                await ProcessInterface.start(self)  # so that it can be closed

    return Job


def _has_worker(client: Any, seconds: float) -> bool:
    try:
        client.wait_for_workers(1, timeout=seconds)
    except TimeoutError:
        return False
    return True


@contextmanager
def _closed_at_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process by an exception, which closes the cluster."""

    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    numbers = [signal.SIGTERM, signal.SIGHUP]
    if threading.current_thread() is not threading.main_thread():
        numbers = []
    earlier = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
