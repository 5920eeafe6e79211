"""Submitting jobs where SLURM limits their number, and what SLURM says of a job that it refuses.

The executor takes a refused job for a failed one, removes its earlier results, and keeps SLURM's
words to itself where the job is a group. The ``sbatch`` in this folder waits instead while too many
jobs are submitted, and writes down each refusal.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

_FOLDER = Path(".snakemake", "submissions")
_SECONDS = 1.0  # between two looks at the record
_MEANS = {
    "waits": "is not submitted yet, it waits until other jobs have ended",
    "submitted": "is submitted now",
    "failed": "is refused by SLURM",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A job that SLURM did not take when it was asked first.

    Attributes
    ----------
    follows : {'waits', 'submitted', 'failed'}
        What became of it: it waits for other jobs' ends, it was taken later, or it failed.
    run : str
        Name of the run's SLURM jobs.
    comment : str
        As `convergent.ops.slurm.SlurmJob`.
    said : str
        SLURM's words.
    """

    follows: str
    run: str
    comment: str
    said: str


def refusals() -> list[Refusal]:
    """What SLURM refused in the working directory's runs; of each job the last entry."""
    found: dict[tuple[str, str], Refusal] = {}
    for file in sorted(_FOLDER.glob("*.tsv")):
        for line in file.read_text(errors="replace").splitlines():
            if (one := _parsed(line)) is not None:
                found[one.run, one.comment] = one
    return list(found.values())


def wait_at_limits(warn: Callable[[str], object]) -> None:
    """Put the waiting ``sbatch`` first in the path of this process, which is Snakemake's.

    Parameters
    ----------
    warn : callable
        Is given what SLURM says of a refused job, as soon as it says so.

    Notes
    -----
    Waiting ends with Snakemake: at Ctrl-C and when its process is gone.
    """
    if shutil.which("sbatch") is None:
        return
    record = (_FOLDER / f"{time.time():.0f}-{os.getpid()}.tsv").absolute()
    record.parent.mkdir(parents=True, exist_ok=True)
    stop = record.with_name(f"{record.name}.stop")
    os.environ["CONVERGENT_SUBMISSIONS"] = str(record)
    os.environ["CONVERGENT_CONTROLLER"] = str(os.getpid())
    os.environ["PATH"] = os.pathsep.join((str(Path(__file__).parent), os.environ["PATH"]))
    threading.Thread(target=_relay, args=(record, warn), daemon=True).start()
    earlier = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is threading.main_thread() and callable(earlier):

        def interrupted(number: int, frame: FrameType | None) -> None:
            stop.touch()
            earlier(number, frame)

        signal.signal(signal.SIGINT, interrupted)


def _relay(record: Path, warn: Callable[[str], object]) -> None:
    """Pass on each line of a record that is being written."""
    for line in _lines(record):
        one = _parsed(line)
        if one is None:
            continue
        warn(f"{one.comment} {_MEANS[one.follows]}" + (f" ({one.said})" if one.said else ""))


def _lines(record: Path) -> Iterator[str]:
    while not record.exists():
        time.sleep(_SECONDS)
    rest = ""
    with record.open(errors="replace") as file:
        while True:
            *whole, rest = (rest + file.read()).split("\n")
            yield from whole
            time.sleep(_SECONDS)


def _parsed(line: str) -> Refusal | None:
    parts = line.split("\t")
    if len(parts) != 5 or parts[1] not in _MEANS:
        return None
    return Refusal(parts[1], parts[2], parts[3].removeprefix("rule_"), parts[4])
