"""One mail when a run ends: sent by SLURM, whose subject is the name of a job of no work."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convergent.watch.runs import RunReader

ADDRESS = "CONVERGENT_MAIL"


def summary(study: str, log: Path, *, succeeded: bool) -> str:
    """Say in one line how a run ended, from Snakemake's log.

    Parameters
    ----------
    study : str
        Its key.
    log : Path
        Snakemake's log of the run.
    succeeded : bool

    Returns
    -------
    str
        Letters, digits, spaces and ``,.:-``: a name that SLURM and mail subjects take.
    """
    run = RunReader(log).update()
    done, planned = run.steps
    failed = sum(state == "failed" for state in run.states.values())
    text = f"convergent {study}: {'done' if succeeded else 'FAILED'}"
    if planned:
        text += f", {done} of {planned} steps"
    if not succeeded:
        text += f", {failed} jobs failed"
        if last := next((name for name, state in reversed(run.states.items()) if state == "failed"),
                        None):  # fmt: skip
            text += f", last {_short(last)}"
    return re.sub(r"[^A-Za-z0-9 ,.:/_-]", " ", text)


def _short(log: str) -> str:
    """Stage and keys of a job, by its log."""
    return log.rpartition("/logs/")[2].removesuffix(".log")


def mail_at_end(
    address: str,
    study: str,
    log: str | Path,
    *,
    succeeded: bool,
    defaults: Mapping[str, Any],
) -> str:
    """Submit the job whose end SLURM tells by mail.

    Parameters
    ----------
    address : str
    study : str
        Its key.
    log : str or Path
        Snakemake's log of the run.
    succeeded : bool
        The job ends in the same way, and SLURM's subject says so.
    defaults : mapping
        The profile's ``default-resources``: account, quality of service and partition are used.

    Returns
    -------
    str
        What was done, or why nothing was: a mail that cannot be sent makes no run fail.
    """
    name = summary(study, Path(log), succeeded=succeeded)
    command = ["sbatch", "--parsable", f"--job-name={name}", "--time=1", "--mem=50M"]
    command += ["--output=/dev/null", f"--mail-user={address}", "--mail-type=END,FAIL"]
    for option, key in (("account", "slurm_account"), ("partition", "slurm_partition"),
                        ("qos", "qos")):  # fmt: skip
        if defaults.get(key):
            command.append(f"--{option}={defaults[key]}")
    script = f"#!/bin/sh\nexit {0 if succeeded else 1}\n"
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"no mail to {address}: sbatch: {error.strerror}"
    if done.returncode:
        return f"no mail to {address}: {' '.join(done.stderr.split())}"
    return f"SLURM will mail {address}: {name}"
