"""How far a study is, by family: from its files, its logs, Snakemake's log and SLURM's queue.

Nothing of Snakemake runs for it: no plan is made and no lock is taken, so it works while Snakemake
runs, from another shell, and afterwards. A job is done when Snakemake would not run it, told from
the files that are there; whether these are of the study's present settings is what a sample of
them, `convergent verify` and a dry run tell.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from convergent.ops import records, slurm
from convergent.ops.folder_listing import Found, is_there, listed
from convergent.ops.runs import Run, RunReader, current, finish_times, runs_of
from convergent.ops.submission import refusals
from convergent.study import Study
from convergent.study.graph import SHARED, Job

_BYTES = 8192
_LONGEST = 300
# How the commands and Python end when they fail, and what a shell says of a killed command.
_ERROR = re.compile(
    r"^(error: |\w*(\.\w+)*(Error|Exception|Interrupt)\b|Killed|Terminated|.*core dumped)",
)


def last_lines(path: str | Path, number: int) -> list[str]:
    """Last lines of a text file that say something; none if it can't be read."""
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.rstrip()[:_LONGEST] for line in text.splitlines() if line.strip()]
    return lines[-number:] if number else []


def ends_in_error(path: str | Path) -> bool:
    """Whether a log ends as that of a command that failed."""
    return any(_ERROR.match(line) for line in last_lines(path, 2))


State = Literal["done", "running", "queued", "failed", "waiting"]
STATES: tuple[State, ...] = ("done", "running", "queued", "failed", "waiting")


class States:
    """What is known of a study's jobs.

    Parameters
    ----------
    found : Found
        Files that are there.
    left : set of str
        Logs of the jobs that Snakemake would run, told from these files.
    run : Run, optional
        The newest run of Snakemake.
    alive : bool
        Whether it still runs.
    queued : dict of str to State
        Jobs in SLURM's queue, by their log.
    held : bool
        SLURM takes no more jobs for now: what was started and is not in its queue waits.
    """

    def __init__(
        self,
        found: Found,
        left: set[str],
        run: Run | None,
        alive: bool,
        queued: dict[str, State],
        held: bool = False,
    ) -> None:
        self._found, self._left, self._held = found, left, held
        self._run, self._alive, self._queued = run, alive, queued
        self._events = run.states if run else {}

    def of(self, job: Job) -> State:
        """State of a job."""
        if in_queue := self._queued.get(job.log):
            return in_queue
        event = self._events.get(job.log)
        if event == "started" and self._alive:
            return "queued" if self._held else "running"
        if job.log not in self._left:
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


# Fewer finished jobs say nothing of how long the rest will take.
_FEWEST = 3
_HOURS_OF_RATE = 6.0
# Of these, the job's own log tells more than SLURM does.
_PLAIN_ENDS = frozenset(("COMPLETED", "FAILED", "RUNNING", "PENDING"))


@dataclass
class Family:
    """Jobs of a family, or of the whole study.

    Attributes
    ----------
    name : str
    jobs : Counter of State
    gpu_hours : float
    end : float or None
        Estimated, seconds since the epoch.
    """

    name: str
    jobs: Counter[State] = field(default_factory=Counter)
    gpu_hours: float = 0.0
    end: float | None = None

    @property
    def total(self) -> int:
        """All jobs."""
        return self.jobs.total()

    @property
    def left(self) -> int:
        """Jobs that will still be done, if nothing fails."""
        return sum(self.jobs[state] for state in ("running", "queued", "waiting"))


@dataclass(frozen=True)
class Failure:
    """A job that failed, and what is known of it."""

    job: Job
    when: float
    said: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """How far a study is.

    Attributes
    ----------
    study : str
    now : float
    seconds : float
        That looking took.
    run : Run or None
        The newest run of Snakemake that was of this study.
    alive : bool
        Whether it still runs.
    families : list of Family
    whole : Family
    failures : list of Failure
        The newest first.
    notes : list of str
        What could not be asked.
    """

    study: str
    now: float
    seconds: float
    run: Run | None
    alive: bool
    families: list[Family]
    whole: Family
    failures: list[Failure]
    notes: list[str]


class Watch:
    """Looks at a study, as often as wanted: what does not change is read once.

    Parameters
    ----------
    study : Study
    family : str, optional
        Only this family.
    lines : int
        Of a failed job's log.
    most : int
        Failures to tell.

    Raises
    ------
    UnknownKeyError
        No such family.
    """

    def __init__(
        self, study: Study, family: str | None = None, *, lines: int = 3, most: int = 5
    ) -> None:
        self._study, self._lines, self._most = study, lines, most
        self._jobs = study.graph.jobs_of(family)
        self._by_log = {job.log: job for job in self._jobs}
        self._by_comment: dict[str, list[Job]] = {}
        for job in self._jobs:
            self._by_comment.setdefault(job.comment, []).append(job)
        self._readers: dict[Path, RunReader] = {}
        # a family's GPU hours are its own, those of jobs that nobody can place are the study's
        self._all = family is None

    def look(self) -> Status:
        """Look at the study now."""
        begun = time.time()
        found = listed(self._study.paths.root, without=("figures",))
        starts = runs_of(self._study, self._readers)
        run, alive = current(starts)
        notes = [_refused(start) for start in starts if _is_refused(start, run, alive)][-1:]
        runs = [start for start in starts if start.began]
        left = self._study.graph.left(partial(is_there, found), finished=finish_times(runs))
        notes += records.notes(self._study, found)
        queued = self._queued(runs, notes)
        refused = [one for one in refusals() if run and one.run == run.slurm]
        held = [one for one in refused if alive and one.follows == "waits"]
        if held:
            notes.append(
                f"SLURM takes no more jobs for now, they are submitted later: {held[0].said}"
            )
        states = States(found, left, run, alive, queued, bool(held))
        rows = self._rows()
        failed: list[Job] = []
        for job in self._jobs:
            state = states.of(job)
            if state == "failed":
                failed.append(job)
            else:
                rows[job.family].jobs[state] += 1
        failed = self._really_failed(failed, states, rows)
        ends = self._count_gpus(runs, rows, notes)
        for one in refused:
            if one.follows == "failed" and (
                named := slurm.job_named(one.comment, self._by_comment)
            ):
                ends |= {
                    job.log: f"SLURM refuses it: {one.said}" for job in self._by_comment[named]
                }
        whole = Family("all")
        for row in rows.values():
            whole.jobs.update(row.jobs)
            whole.gpu_hours += row.gpu_hours
        if run is not None and alive:
            self._estimate(run, rows, whole)
        return Status(
            self._study.name,
            begun,
            time.time() - begun,
            run,
            alive,
            list(rows.values()),
            whole,
            self._failures(failed, states, ends),
            list(dict.fromkeys(notes)),
        )

    def _rows(self) -> dict[str, Family]:
        return {name: Family(name) for name in dict.fromkeys(job.family for job in self._jobs)}

    def _queued(self, runs: Sequence[Run], notes: list[str]) -> dict[str, State]:
        """State of jobs that are in SLURM's queue, by their log."""
        names = [run.slurm for run in runs if run.slurm]
        tasks = {task: log for run in runs for task, log in run.tasks.items()}
        states: dict[str, State] = {}
        for asked in slurm.queue(names, notes):
            state: State = "queued" if asked.state == "PENDING" else "running"
            for job in self._asked_for(asked, tasks):
                states[job.log] = state
        return states

    def _asked_for(self, asked: slurm.SlurmJob, tasks: dict[str, str]) -> Sequence[Job]:
        if job := self._by_log.get(tasks.get(asked.id, "")):
            return [job]
        named = slurm.job_named(asked.comment, self._by_comment)
        return self._by_comment[named] if named else ()

    def _really_failed(
        self, jobs: Sequence[Job], states: States, rows: dict[str, Family]
    ) -> list[Job]:
        """Of a group that failed, those members that did; the others only lost their files."""
        by_group: dict[str, list[Job]] = {}
        for job in jobs:
            by_group.setdefault(job.comment, []).append(job)
        kept = []
        for members in by_group.values():
            guilty = members
            if len(members) > 1:
                guilty = [job for job in members if ends_in_error(job.log)] or members
            kept += guilty
            for job in members:
                rows[job.family].jobs["failed" if job in guilty else "waiting"] += 1
        return kept

    def _count_gpus(
        self, runs: Sequence[Run], rows: dict[str, Family], notes: list[str]
    ) -> dict[str, str]:
        """Add GPU hours to families; how SLURM ended jobs that did not end themselves."""
        ends: dict[str, str] = {}
        for run in runs:
            for log, seconds in run.gpu_seconds.items():
                if job := self._by_log.get(log):
                    rows[job.family].gpu_hours += seconds / 3600
        named = [run for run in runs if run.slurm]
        if not named:
            return ends
        tasks = {task: log for run in runs for task, log in run.tasks.items()}
        lost = 0.0
        for asked in slurm.accounts([run.slurm for run in named], named[0].begun, notes):
            jobs = self._asked_for(asked, tasks)
            if jobs:
                rows[jobs[0].family].gpu_hours += asked.gpu_seconds / 3600
                told = asked.state not in _PLAIN_ENDS
                said = f"SLURM: {asked.state} (job {asked.id})" if told else ""
                ends |= {job.log: said for job in jobs}
            else:
                lost += asked.gpu_seconds / 3600
        if lost and self._all:
            rows[SHARED].gpu_hours += lost
        return ends

    def _estimate(self, run: Run, rows: dict[str, Family], whole: Family) -> None:
        """Suppose that the rest goes as fast as what has finished in this run."""
        now = time.time()
        since = max(run.begun, now - _HOURS_OF_RATE * 3600)
        recent = [log for when, log in run.finishes if when >= since]
        finished = Counter(job.family for log in recent if (job := self._by_log.get(log)))
        for name, number in finished.items():
            if number >= _FEWEST and rows[name].left:
                rows[name].end = now + rows[name].left * (now - since) / number
        number = finished.total() if any(recent) else len(recent)
        if number >= _FEWEST and whole.left:
            whole.end = now + whole.left * (now - since) / number

    def _failures(self, jobs: Sequence[Job], states: States, ends: dict[str, str]) -> list[Failure]:
        newest = sorted(jobs, key=states.when, reverse=True)[: self._most]
        return [
            Failure(
                job,
                states.when(job),
                "; ".join(filter(None, (ends.get(job.log), states.said(job)))),
                tuple(last_lines(job.log, self._lines)),
            )
            for job in newest
        ]


def _is_refused(start: Run, run: Run | None, alive: bool) -> bool:
    """Whether a start came to nothing while the run is at work, or after its end."""
    if run is None or start.began or not start.problems:
        return False
    return start.begun > (run.begun if alive else run.updated)


def _refused(start: Run) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(start.begun))
    return f"a start of Snakemake at {when} came to no job ({start.problems[0]})"
