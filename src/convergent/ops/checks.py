"""What one check of `convergent doctor` found; Python, its packages, and earlier runs."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from convergent.ops.runs import RunReader, current, is_alive, logs_in, runs_of
from convergent.study import Study

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a diagnosis.

    Attributes
    ----------
    level : {"ok", "warning", "problem"}
        With a problem a run would fail; a warning is something to know.
    about : str
        What was looked at.
    text : str
    fix : str
        What to do; empty for what is ok.
    """

    level: Level
    about: str
    text: str
    fix: str = ""


def gigabytes(number: float) -> str:
    """Bytes for people."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1e6:.0f} MB"


_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;+]+)")


def packages(lock: Path) -> Iterator[Check]:
    """Installed versions against the lock file's."""
    python = f"Python {platform.python_version()}"
    if not lock.is_file():
        yield Check("ok", "packages", f"{python}; there is no {lock} to compare with")
        return
    different, absent, count = [], [], 0
    for line in lock.read_text(encoding="utf-8").splitlines():
        if not (found := _PIN.match(line)):
            continue
        name, wanted = found.groups()
        count += 1
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(f"{name} {wanted}")
            continue
        # a local build (+cpu, +cu126) is the same version
        if version.partition("+")[0] != wanted:
            different.append(f"{name} {version}, not {wanted}")
    fix = f"pip install --no-deps -r {lock}, in the environment of the nodes"
    if absent:
        yield Check("warning", "packages", f"{python}; not installed: {_some(absent)}", fix)
    if different:
        text = f"{python}; other versions than {lock}'s: {_some(different)}"
        yield Check("warning", "packages", text, f"{fix}: results may differ in the last digits")
    if not absent and not different:
        yield Check("ok", "packages", f"{python}; {count} packages as in {lock}")


def _some(names: list[str]) -> str:
    return "; ".join(names[:4]) + (f"; and {len(names) - 4} more" if len(names) > 4 else "")


def earlier_runs(study: Study) -> Iterator[Check]:
    """Whether Snakemake runs already, or a killed one left its lock."""
    run, alive = current(runs_of(study))
    if run is not None and alive:
        fix = "wait for it, or stop it; `convergent status` tells how far it is"
        yield Check("problem", "Snakemake", f"it runs already, on {run.host}", fix)
        return
    locks = Path(".snakemake", "locks")
    if locks.is_dir() and any(locks.iterdir()):
        if any(is_alive(RunReader(file).update()) for file in logs_in()[-20:]):
            yield Check(
                "warning",
                "Snakemake",
                "another study runs in this folder and holds the lock",
                "start studies with different results from different folders",
            )
            return
        fix = "see that none of its jobs is in the queue, then `snakemake --unlock`"
        yield Check("problem", "Snakemake", "a run that was killed left its lock", fix)
        return
    yield Check("ok", "Snakemake", "no other run is at work here")
