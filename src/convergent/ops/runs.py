"""What Snakemake says in its own log: jobs started, finished and failed, and whether it lives."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from convergent.study import Study
from convergent.study.graph import Finished

Event = Literal["started", "finished", "failed"]

_STAMP = re.compile(r"\s*\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\]")
_RULE = re.compile(r"\s*(?:local)?(?:rule|checkpoint) \S+:$")
_PROGRESS = re.compile(r"(\d+) of (\d+) steps")
_ARRAY = re.compile(
    r"Submitted array job with Snakemake IDs ([\d,]+) and SLURM job ID (\d+)\."
    r" The individual task IDs are (\d+)-"
)
_SUBMITTED = re.compile(r"Job (\d+) has been submitted with SLURM jobid (\d+)")
_COMMAND = re.compile(r"Command '.*> (\S+\.log) 2>&1' (?:returned|died)")
_SLURM_FAILED = re.compile(r"(?:message: )?((?:SLURM-job|Job) '\S+' failed.*)")
_OUTPUT = re.compile(r" {4}log: (.+) \(check log file")
_GPU = re.compile(r"\bgpu=(\d+)")
# What Snakemake says only once the workflow is read and the lock is its own.
_BEGAN = ("Using shell: ", "Provided ", "Select jobs ", "SLURM run ID: ", "Nothing to be done")
# A run that has not ended and that nobody can look at is believed for so long.
_SILENT_SECONDS = 15 * 60


@dataclass
class Run:
    """One call of Snakemake, as its log tells it.

    Attributes
    ----------
    file : Path
        The log.
    begun, updated : float
        Seconds since the epoch.
    host : str
    began : bool
        It had the lock and came to its jobs. A start that the lock refused, or that ended with an
        error while the workflow was read, is no run.
    ended : bool
        Snakemake said its last words.
    slurm : str
        Name of its SLURM jobs; empty on another executor.
    files : tuple of str
        Study configurations that it read.
    steps : tuple of int
        Jobs that it has finished, and all that it planned.
    states : dict of str to Event
        What last happened to a job, by the job's log.
    times : dict of str to float
        When that was.
    finishes : list of (time, log)
        In the order in which jobs finished; the log is empty where Snakemake was quiet.
    gpu_seconds : dict of str to float
        Of jobs that this run executed itself, by the job's log.
    said : dict of str to str
        What SLURM or Snakemake said of a job that failed.
    tasks : dict of str to str
        Logs of jobs by their SLURM job, as far as the log tells.
    problems : list of str
        Errors of the run itself.
    """

    file: Path
    begun: float
    updated: float = 0.0
    host: str = ""
    began: bool = False
    ended: bool = False
    slurm: str = ""
    files: tuple[str, ...] = ()
    steps: tuple[int, int] = (0, 0)
    states: dict[str, Event] = field(default_factory=dict)
    times: dict[str, float] = field(default_factory=dict)
    finishes: list[tuple[float, str]] = field(default_factory=list)
    gpu_seconds: dict[str, float] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    tasks: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def tells_jobs(self) -> bool:
        """Whether the log names jobs; with ``quiet: rules`` it does not."""
        return bool(self.states) or not self.finishes


class RunReader:
    """Reads a log, and later only what has come since.

    Parameters
    ----------
    file : Path
    """

    def __init__(self, file: Path) -> None:
        self.run = Run(file, _begun(file))
        self._offset, self._rest = 0, b""
        self._now = self.run.begun
        self._stamps: dict[str, float] = {}
        self._fresh = False  # the line before was a time stamp
        self._block = ""  # what is being described: a start, an error, or nothing
        self._log = self._message = ""
        self._logs: dict[str, str] = {}
        self._started: dict[str, tuple[float, int]] = {}
        self._trouble = False

    def update(self) -> Run:
        """Read on.

        Returns
        -------
        Run
            The same object each time.
        """
        try:
            with self.run.file.open("rb") as file:
                self.run.updated = os.fstat(file.fileno()).st_mtime
                file.seek(self._offset)
                while part := file.read(1 << 22):
                    self._offset += len(part)
                    lines = (self._rest + part).split(b"\n")
                    self._rest = lines.pop()  # what is being written is read once it is whole
                    for line in lines:
                        self._line(line.decode(errors="replace"))
        except FileNotFoundError:
            self.run.ended = True
        return self.run

    def _line(self, line: str) -> None:
        fresh, self._fresh = self._fresh, False
        if line.lstrip().startswith("[") and (found := _STAMP.match(line)):
            self._now, self._fresh, self._block = self._time(found.group(1)), True, ""
            return
        text = line.strip()
        if text.startswith("Error in rule "):
            self._block, self._log = "error", ""
        elif fresh and _RULE.match(line):
            self._block, self._log = "start", ""
        elif self._block and line.startswith("    "):
            self._described(text)
        else:
            self._block = ""
            self._said(text, line)

    def _time(self, stamp: str) -> float:
        if stamp not in self._stamps:
            self._stamps = {stamp: time.mktime(time.strptime(stamp))}
        return self._stamps[stamp]

    def _described(self, text: str) -> None:
        """Read one line of a block about a job."""
        key, _, value = text.partition(": ")
        if key == "log":
            self._log = value.removesuffix(" (check log file(s) for error details)")
            if self._block == "error":
                self._fail(self._log)
        elif key == "jobid" and self._block == "error":
            self._fail(self._logs.get(value, ""))
        elif key == "jobid":
            self._logs[value] = self._log
            self._mark(self._log, "started")
            self._started[self._log] = (self._now, 0)
        elif key == "resources" and self._block == "start" and (found := _GPU.search(value)):
            self._started[self._log] = (self._now, int(found.group(1)))
        elif key == "message" and value != "None":
            self._message = value

    def _said(self, text: str, line: str) -> None:
        """Read a line that is of no block."""
        run = self.run
        if text.startswith("Finished jobid: "):
            self._finished(text.split()[2])
        elif found := _PROGRESS.match(text):
            run.steps = (int(found.group(1)), int(found.group(2)))
        elif found := _SUBMITTED.match(text):
            run.tasks[found.group(2)] = self._logs.get(found.group(1), "")
        elif found := _ARRAY.match(text):
            for index, number in enumerate(found.group(1).split(","), int(found.group(3))):
                run.tasks[f"{found.group(2)}_{index}"] = self._logs.get(number, "")
        elif found := _SLURM_FAILED.match(text):
            self._message = found.group(1)
        elif found := _OUTPUT.match(line):
            self._message = f"output of its SLURM job: {found.group(1)}"
        elif found := _COMMAND.match(text):
            self._fail(found.group(1))
        else:
            self._about_the_run(text)

    def _about_the_run(self, text: str) -> None:
        run = self.run
        run.began = run.began or text.startswith(_BEGAN)
        if self._trouble and text and not text.startswith("At least one job did not"):
            run.problems.append(text)
        self._trouble = text in ("WorkflowError:", "Error:") or (
            text.endswith("Exception:") and text not in ("RuleException:",)
        )
        if text.startswith(("Error: ", "LockException")) and not text.endswith(":"):
            run.problems.append(text)
        if text.startswith("SLURM run ID: "):
            run.slurm = text.split()[-1]
        elif text.startswith("Host: "):
            run.host = text.removeprefix("Host: ")
        elif text.startswith("Config file(s): "):
            run.files = tuple(re.findall(r"'([^']+)'", text))
        elif text.startswith(("Complete log(s): ", "Nothing to be done")):
            run.ended = True

    def _finished(self, number: str) -> None:
        log = self._logs.get(number, "")
        self.run.finishes.append((self._now, log))
        self._mark(log, "finished")
        begun, gpus = self._started.pop(log, (self._now, 0))
        if gpus and not self.run.slurm:
            self._count(log, gpus * (self._now - begun))

    def _fail(self, log: str) -> None:
        self._mark(log, "failed")
        begun, gpus = self._started.pop(log, (self._now, 0))
        if gpus and not self.run.slurm:
            self._count(log, gpus * (self._now - begun))
        if log and self._message:
            self.run.said[log] = self._message

    def _count(self, log: str, seconds: float) -> None:
        self.run.gpu_seconds[log] = self.run.gpu_seconds.get(log, 0.0) + seconds

    def _mark(self, log: str, event: Event) -> None:
        self.run.began = True
        if log:
            self.run.states[log] = event
            self.run.times[log] = self._now
            if event != "failed":
                self.run.said.pop(log, None)
                if event == "started":
                    self._message = ""


def _begun(file: Path) -> float:
    """When a log was begun, from its name (2026-01-31T120000.123456.snakemake.log)."""
    try:
        return time.mktime(time.strptime(file.name.partition(".")[0], "%Y-%m-%dT%H%M%S"))
    except ValueError:
        return file.stat().st_mtime


def logs_in(folder: str | Path = ".") -> list[Path]:
    """Snakemake's logs of a working directory, oldest first."""
    return sorted(Path(folder, ".snakemake", "log").glob("*.snakemake.log"))


def runs_of(study: Study, readers: dict[Path, RunReader] | None = None) -> list[Run]:
    """Runs of a study in the working directory, oldest first.

    Parameters
    ----------
    study : Study
    readers : dict, optional
        What was read before, which is then read on; new logs are added to it.

    Returns
    -------
    list of Run
        With starts that never came to a job (`Run.began`).
    """
    readers = {} if readers is None else readers
    runs = []
    for file in logs_in():
        reader = readers.setdefault(file, RunReader(file))
        run = reader.run if reader.run.ended else reader.update()
        if is_of(run, study.file, study.paths.root):
            runs.append(run)
    return runs


def current(runs: Sequence[Run]) -> tuple[Run | None, bool]:
    """The run that a study's state follows from, and whether it is still at work.

    That is one that is at work, else the last that came to its jobs, else the last start.
    """
    for run in reversed(runs):
        if is_alive(run):
            return run, True
    return next((run for run in reversed(runs) if run.began), runs[-1] if runs else None), False


def finish_times(runs: Iterable[Run]) -> Finished:
    """When jobs finished last, as far as Snakemake's logs say; runs in their order."""
    found = Finished({}, {})
    for run in runs:
        done, planned = run.steps
        whole = run.ended and done == planned
        for when, log in run.finishes:
            found.times[log] = when
            if whole:
                found.unused.pop(log, None)
            else:
                found.unused[log] = when
    return found


def is_of(run: Run, study_file: str, root: str) -> bool:
    """Whether a run was of a study: it read its configuration, or made its files."""
    if Path(study_file).resolve() in {Path(name).resolve() for name in run.files}:
        return True
    return any(log.startswith(f"{root}/") for log in run.states)


def is_alive(run: Run, processes: Callable[[], Iterator[Path]] | None = None) -> bool:
    """Whether the Snakemake of a run is still at work.

    Parameters
    ----------
    run : Run
    processes : callable, optional
        Gives files that Snakemakes of this machine have open; those of ``/proc`` by default.

    Notes
    -----
    On the machine where it was started, the process that has the log open says it. Elsewhere a log
    that has not ended is believed while Snakemake's lock is there, or for a quarter of an hour.
    """
    if run.ended or (run.problems and not run.began):
        return False
    if run.host == socket.gethostname() and Path("/proc/self/fd").is_dir():
        target = run.file.resolve()
        return any(path == target for path in (processes or _open_files)())
    locks = run.file.parents[1] / "locks"
    locked = locks.is_dir() and any(locks.iterdir())
    return locked or time.time() - run.updated < _SILENT_SECONDS


def _open_files() -> Iterator[Path]:
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            if b"snakemake" not in (process / "cmdline").read_bytes():
                continue
            yield from (descriptor.readlink() for descriptor in (process / "fd").iterdir())
        except OSError:
            continue  # another user's, or gone
