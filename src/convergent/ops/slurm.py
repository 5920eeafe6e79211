"""What SLURM says of a study's jobs: queued and running ones, and GPU hours."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SECONDS = 60
_GPUS = re.compile(r"gres/gpu=(\d+)")


@dataclass(frozen=True, slots=True)
class SlurmJob:
    """One SLURM job.

    Attributes
    ----------
    id : str
    state : str
        ``RUNNING``, ``PENDING``, ...
    comment : str
        As Snakemake's executor wrote it, without ``rule_``; empty where the site keeps none.
    gpu_seconds : float
    reason : str
        Why it waits.
    """

    id: str
    state: str
    comment: str
    gpu_seconds: float = 0.0
    reason: str = ""


def queue(names: Iterable[str], notes: list[str]) -> list[SlurmJob]:
    """Jobs in the queue by the name of the runs that submitted them.

    Parameters
    ----------
    names : iterable of str
    notes : list of str
        What went wrong is added to it.
    """
    wanted = ",".join(names)
    if not wanted:
        return []
    text = ask(["squeue", "-h", "-r", f"--name={wanted}", "-o", "%i|%T|%r|%k"], notes)
    rows = (line.strip().split("|", 3) for line in text.splitlines())
    return [
        SlurmJob(id_, state, _comment(comment), reason=reason)
        for id_, state, reason, comment in (row for row in rows if len(row) == 4)
    ]


def accounts(names: Iterable[str], since: float, notes: list[str]) -> list[SlurmJob]:
    """All jobs of some runs, with the GPU time that they have used."""
    wanted = ",".join(names)
    if not wanted:
        return []
    begin = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(since - 60))
    columns = "JobID,State,ElapsedRaw,AllocTRES,Comment"
    command = ["sacct", "-X", "-n", "-P", "-D", f"--starttime={begin}", f"--name={wanted}"]
    found = []
    for line in ask([*command, f"-o{columns}"], notes).splitlines():
        row = line.split("|", 4)
        if len(row) == 5 and row[2].isdigit():
            gpus = sum(map(int, _GPUS.findall(row[3])))
            state = row[1].split()[0] if row[1] else ""
            found.append(SlurmJob(row[0], state, _comment(row[4]), gpus * float(row[2])))
    return found


def ask(command: list[str], notes: list[str]) -> str:
    """Output of one of SLURM's commands; empty if it is not there or fails, which is noted."""
    if shutil.which(command[0]) is None:
        notes.append(f"{command[0]} is not here")
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        notes.append(f"{command[0]} did not answer within {_SECONDS} s")
        return ""
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        notes.append(f"{command[0]}: {said[-1] if said else f'exit {done.returncode}'}")
        return ""
    return done.stdout


def _comment(text: str) -> str:
    return "" if text in ("(null)", "None") else text.removeprefix("rule_")


def job_named(comment: str, known: Mapping[str, object]) -> str | None:
    """Find the longest beginning of a comment that is known: groups add their rules' names."""
    while comment not in known:
        comment, cut, _ = comment.rpartition("_")
        if not cut:
            return None
    return comment
