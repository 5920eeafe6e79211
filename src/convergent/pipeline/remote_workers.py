"""Workers of dask elsewhere: jobs of SLURM, or those of a scheduler that runs already."""

from __future__ import annotations

import functools
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from convergent.errors import ConfigError
from convergent.pipeline.worker_jobs import WorkerJobs, absent, open_cluster
from convergent.study import AggregationConfig

_ANSWER_SECONDS = 30
# How long one looks away while workers work.
LOOK_SECONDS = 5.0
# What decides the bytes of results.
_PACKAGES = ("convergent", "numpy", "zarr")


@dataclass(frozen=True)
class Remote:
    """A client of a scheduler, with what is known of its workers.

    Attributes
    ----------
    client : distributed.Client
    name : str
        The scheduler, for messages.
    wait : float
        Seconds without any worker that are borne.
    where : str
        Key of the configuration that chose these workers.
    jobs : WorkerJobs or None
        Those that SLURM runs for this process.
    """

    client: Any
    name: str
    wait: float
    where: str
    jobs: WorkerJobs | None = None

    def compute(self, tasks: Sequence[Any]) -> list[Any]:
        """Results of delayed tasks, in their order.

        Raises
        ------
        ConfigError
            No worker starts in time, workers die, or the scheduler is gone.
        ConvergentError
            A task's own.
        """
        from concurrent.futures import CancelledError

        from distributed import KilledWorker
        from distributed.comm import CommClosedError

        futures: list[Any] = []
        try:
            futures = self.client.compute(list(tasks))
            return self._gather(futures)
        except KilledWorker as error:
            raise ConfigError(
                f"a store could not be read: {error.allowed_failures + 1} workers died over it",
                where=self.where,
                fix=f"give them more memory{self._logs()}",
            ) from None
        except (CancelledError, CommClosedError, OSError) as error:
            if _failed(futures):
                raise  # a task's own
            raise ConfigError(
                f"the dask scheduler at '{self.name}' is gone ({_first_line(error)})",
                where=self.where,
                fix="start it again and rerun, or set aggregation.scheduler: threads",
            ) from None
        except (RuntimeError, ImportError) as error:
            if isinstance(error, RuntimeError) and "deserializ" not in str(error):
                raise
            raise ConfigError(
                f"the scheduler or a worker cannot take its work ({_first_line(error)})",
                where=self.where,
                fix="start them with the Python that runs convergent",
            ) from error

    def _gather(self, futures: Sequence[Any]) -> list[Any]:
        """Wait for results and fetch them, with an eye on the workers.

        Results that lie on a worker that dies are computed again, so that fetching, too, may have
        to wait for another worker.
        """
        from distributed import wait

        seen, patience = time.monotonic(), LOOK_SECONDS
        while True:
            try:
                with self.client.as_current():
                    wait(futures, timeout=LOOK_SECONDS)
                results: list[Any] = self.client.sync(
                    lambda: self.client.gather(futures, asynchronous=True),
                    callback_timeout=patience,
                )
                return results
            except TimeoutError:
                if _failed(futures):
                    raise
                if all(future.done() for future in futures):
                    patience *= 2  # they may be large
                seen = self._look(seen)

    def _look(self, seen: float) -> float:
        """Replace jobs that ended; the last time at which there was a worker."""
        if self.jobs is not None:
            self.jobs.look()
        now = time.monotonic()
        if self.client.nthreads():
            return now
        if now - seen < self.wait:
            return seen
        minutes = f"{self.wait / 60:g} minutes"
        if self.jobs is None:
            raise ConfigError(
                f"the dask scheduler at '{self.name}' has had no worker for {minutes}",
                where=self.where,
                fix=f"start some (`dask worker {self.name}`), or set threads",
            )
        raise ConfigError(
            f"no worker has started within {minutes} ({self.jobs.said()})",
            where=self.where,
            fix="choose another queue or less memory and time, raise aggregation.wait_minutes, or "
            f"set aggregation.scheduler: threads{self._logs()}",
        )

    def _logs(self) -> str:
        return f"; their logs are in {self.jobs.logs}" if self.jobs and self.jobs.logs else ""


@dataclass(frozen=True)
class SameVersions:
    """A function that refuses to run elsewhere with other packages."""

    function: Callable[..., Any]
    versions: tuple[str, ...]

    def __call__(self, *arguments: Any) -> Any:
        """Call the function.

        Raises
        ------
        ConfigError
            The worker's packages are not those of the process that asked.
        """
        here = versions()
        if here != self.versions:
            raise ConfigError(
                f"the worker on {platform.node()} has {_listed(here)}, and what asks has "
                f"{_listed(self.versions)}",
                where="aggregation.scheduler",
                fix="start the workers with the Python that runs convergent",
            )
        return self.function(*arguments)


@functools.lru_cache(maxsize=1)
def versions() -> tuple[str, ...]:
    """Versions of Python, and of the packages that decide what stores and sums are."""
    return (".".join(platform.python_version_tuple()[:2]), *map(metadata.version, _PACKAGES))


def checked(function: Callable[..., Any]) -> SameVersions:
    """Let a function run only where versions are those of this process."""
    return SameVersions(function, versions())


@contextmanager
def on_slurm(config: AggregationConfig, logs: str | None) -> Iterator[tuple[Remote, int]]:
    """Submit workers to SLURM; none is left there at the end, whatever the end is.

    Yields
    ------
    Remote
    int
        Threads that they have.
    """
    client_of = _client_class("slurm")
    with (
        open_cluster(config, logs) as jobs,
        closing(client_of(jobs.cluster, set_as_default=False)) as client,
    ):
        remote = Remote(client, "slurm", 60 * config.wait_minutes, "aggregation.slurm", jobs)
        yield remote, config.workers * int(config.slurm.get("cores", 1))


@contextmanager
def at_address(config: AggregationConfig) -> Iterator[tuple[Remote, int]]:
    """Ask a scheduler that runs already, and leave it and its workers as they are."""
    client_of = _client_class(config.scheduler)
    where = "aggregation.scheduler"
    try:
        opened = client_of(config.scheduler, timeout=_ANSWER_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(
            f"no dask scheduler answers at '{config.scheduler}' ({_first_line(error)})",
            where=where,
            fix="start it (`dask scheduler`), or set threads",
        ) from None
    with closing(opened) as client:
        threads = sum(client.nthreads().values())
        remote = Remote(client, config.scheduler, 60 * config.wait_minutes, where)
        yield remote, max(config.workers, threads)


def _client_class(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise absent("distributed", scheduler) from None
    return Client


def _failed(futures: Sequence[Any]) -> bool:
    return any(future.status == "error" for future in futures)


def _listed(found: tuple[str, ...]) -> str:
    names = ("Python", *_PACKAGES)
    return ", ".join(f"{name} {version}" for name, version in zip(names, found, strict=True))


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
