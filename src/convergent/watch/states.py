"""State of each job of a study, from everything that says something of it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from convergent.watch.files import Found, all_there, is_there
from convergent.watch.jobs import Job
from convergent.watch.runs import Run
from convergent.watch.tails import ends_in_error

State = Literal["done", "running", "queued", "failed", "waiting"]
STATES: tuple[State, ...] = ("done", "running", "queued", "failed", "waiting")


class States:
    """What is known of a study's jobs.

    Parameters
    ----------
    found : Found
        Files that are there.
    run : Run, optional
        The newest run of Snakemake.
    alive : bool
        Whether it still runs.
    queued : dict of str to State
        Jobs in SLURM's queue, by their log.
    """

    def __init__(
        self, found: Found, run: Run | None, alive: bool, queued: dict[str, State]
    ) -> None:
        self._found, self._run, self._alive, self._queued = found, run, alive, queued
        self._events = run.states if run else {}

    def of(self, job: Job) -> State:
        """State of a job."""
        if in_queue := self._queued.get(job.log):
            return in_queue
        event = self._events.get(job.log)
        if event == "started" and self._alive:
            return "running"
        if all_there(self._found, job.outputs):
            return "done"
        if event == "failed":
            return "failed"
        if event is None and is_there(self._found, job.log):
            return self._by_its_log(job)
        return "waiting"

    def _by_its_log(self, job: Job) -> State:
        """State of a job that has a log and no files, where Snakemake's log says nothing."""
        if self._alive and self._run and self._written(job) < self._run.begun:
            return "waiting"  # what went wrong before is about to be tried again
        if ends_in_error(job.log):
            return "failed"
        quiet = self._run is not None and not self._run.tells_jobs
        return "running" if self._alive and quiet else "waiting"

    def when(self, job: Job) -> float:
        """When something was last heard of a job, seconds since the epoch."""
        if self._run and job.log in self._run.times:
            return self._run.times[job.log]
        return self._written(job)

    def said(self, job: Job) -> str:
        """What Snakemake said of a job that failed."""
        return self._run.said.get(job.log, "") if self._run else ""

    @staticmethod
    def _written(job: Job) -> float:
        try:
            return Path(job.log).stat().st_mtime
        except OSError:
            return 0.0
