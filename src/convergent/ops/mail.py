"""One mail when a run ends: sent by SLURM, whose subject is the name of a job of no work."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convergent.ops.runs import RunReader

ADDRESS = "CONVERGENT_MAIL"
_OPTIONS = {"account": "slurm_account", "partition": "slurm_partition", "qos": "qos"}


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
    failed = [name for name, state in run.states.items() if state == "failed"]
    text = f"convergent {study}: {'done' if succeeded else 'FAILED'}"
    if planned:
        text += f", {done} of {planned} steps"
    if failed:
        text += f", {len(failed)} failed, last {_short(failed[-1])}"
    return re.sub(r"[^A-Za-z0-9 ,.:/_-]", " ", text)


def _short(log: str) -> str:
    """Stage and keys of a job, by its log."""
    return log.rpartition("/logs/")[2].removesuffix(".log")


def mail_at_end(
    study: str, logs: Sequence[str], *, succeeded: bool, defaults: Mapping[str, Any]
) -> None:
    """Submit the job whose end SLURM tells by mail, if ``CONVERGENT_MAIL`` names an address.

    What was done is printed. A mail that cannot be sent makes no run fail.

    Parameters
    ----------
    study : str
        Its key.
    logs : sequence of str
        Snakemake's logs of the run, as its ``onsuccess`` gives them; the first is read.
    succeeded : bool
        The job ends in the same way, and SLURM's subject says so.
    defaults : mapping
        Snakemake's ``default-resources``: account, quality of service and partition are used.
    """
    address = os.environ.get(ADDRESS)
    if address:
        print(_submit(address, study, Path(logs[0]), succeeded, defaults), file=sys.stderr)


def _submit(
    address: str, study: str, log: Path, succeeded: bool, defaults: Mapping[str, Any]
) -> str:
    name = summary(study, log, succeeded=succeeded)
    command = ["sbatch", "--parsable", f"--job-name={name}", "--time=1", "--mem=50M"]
    command += ["--output=/dev/null", f"--mail-user={address}", "--mail-type=END,FAIL"]
    for option, key in _OPTIONS.items():
        given = defaults.get(key)
        # of Snakemake's values, what the profile or the command line says; its quotes are not meant
        if value := str(getattr(given, "raw", given) or "").strip("'\""):
            command.append(f"--{option}={value}")
    script = f"#!/bin/sh\nexit {0 if succeeded else 1}\n"
    try:
        done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    except OSError as error:
        return f"no mail to {address}: sbatch: {error.strerror}"
    if done.returncode:
        return f"no mail to {address}: {' '.join(done.stderr.split())}"
    return f"SLURM will mail {address}: {name}"
