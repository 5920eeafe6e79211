"""Snakemake's records of a study's files: under which identity it knows them, and how it learns.

Snakemake makes a file again when the identity of its job differs from the one in its record. A file
without a record (results that were moved or copied without ``.snakemake``) never becomes outdated
in its eyes: `adopt` writes the records, from what the files say of themselves.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from convergent.errors import ConfigError
from convergent.ops.folder_listing import Found, is_there
from convergent.study import Study
from convergent.study.graph import Rule

_IDENTITY = re.compile(r"'([0-9a-f]{16})'")  # as Snakemake records it
_NONE = "0" * 16  # of a file that says nothing: no job has it
ADOPT = "CONVERGENT_ADOPT"
# Stores that are looked at where a study may have hundreds of thousands.
SAMPLE = 300


def known_identity(rule: Rule, workflow: Any) -> Callable[[Mapping[str, str]], str]:
    """Make the function that gives Snakemake a job's identity.

    It is the job's own. But where Snakemake knows the job's files under another identity and they
    say themselves that they are what the study asks for, it is the one that Snakemake knows, and
    nothing is made again. That is so after a metric, a subject or a checkpoint was removed, and for
    files that were made while the Snakemake that had asked for them was gone.

    Parameters
    ----------
    rule : Rule
    workflow : snakemake.workflow.Workflow

    Returns
    -------
    callable
        ``identity(wildcards)``.
    """
    from snakemake.io import IOFile

    from convergent.store.request import is_current

    def identity(wildcards: Mapping[str, str]) -> str:
        wanted = rule.identity(wildcards)
        study, keys = rule.graph.study, rule.keys(wildcards.items())
        files = list(rule.graph.files(rule.stage, keys))
        known = workflow.persistence.params(IOFile(files[0][0], rule=None))
        found = map(_IDENTITY.fullmatch, known or ())
        before = next((one[1] for one in found if one), None)
        if before is None:
            if summary := os.environ.get(ADOPT):
                _record(rule, workflow.persistence, wildcards, wanted, Path(summary))
            return wanted
        if before == wanted:
            return wanted
        current = all(is_current(study, rule.stage, own, path) for path, own in files)
        return before if current else wanted

    return identity


def _record(
    rule: Rule, persistence: Any, wildcards: Mapping[str, str], wanted: str, summary: Path
) -> None:
    """Tell Snakemake under which identity the files of one job were made."""
    from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord

    from convergent.store.request import is_current

    study, keys = rule.graph.study, rule.keys(wildcards.items())
    for path, own in rule.graph.files(rule.stage, keys):
        if not Path(path).is_file():
            continue
        found = is_current(study, rule.stage, own, path)
        identity = wanted if found else _NONE
        # what any job of the rule would record: of inputs, code and command nothing is known
        record = MetadataRecord(
            rule=rule.name,
            params=sorted([repr(rule.options(wildcards)), repr(identity)]),
            record_format_version=RECORD_FORMAT_VERSION,
            endtime=Path(path).stat().st_mtime,
            incomplete=False,
        )
        persistence._write_record(path, record)
        persistence._clear_cache()
        with summary.open("a", encoding="utf-8") as file:
            file.write({True: "current", False: "outdated", None: "unknown"}[found] + "\n")


@dataclass(frozen=True)
class Adopted:
    """Files that Snakemake knows now.

    Attributes
    ----------
    current : int
        Of the study's settings: they are not made again.
    outdated : int
        Of other settings: the next run makes them again.
    unknown : int
        Tables and pages, which do not say what they are of: the next run makes them again.
    """

    current: int
    outdated: int
    unknown: int


def adopt(study: Study, overrides: Mapping[str, Any], snakefile: str) -> Adopted:
    """Write the records of files that Snakemake does not know, by planning the study once.

    Parameters
    ----------
    study : Study
    overrides : mapping
        What ``--set`` says.
    snakefile : str

    Raises
    ------
    ConfigError
        Snakemake cannot plan the study.
    """
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder, "summary")
        summary.touch()
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "all"]
        command += ["--snakefile", snakefile, "--configfile", *study.file.split(os.pathsep)]
        if overrides:
            command += ["--config", *(f"{key}={value}" for key, value in overrides.items())]
        environment = {**os.environ, ADOPT: str(summary)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split())[-500:]
            raise ConfigError(f"Snakemake cannot plan the study: {said}", where=snakefile)
        counts = Counter(summary.read_text(encoding="utf-8").split())
    return Adopted(counts["current"], counts["outdated"], counts["unknown"])


def notes(study: Study, found: Found) -> list[str]:
    """Say whether Snakemake knows a study's files, and whether they are of its settings.

    Some stores are looked at, spread over the study; `convergent verify` looks at all.

    Parameters
    ----------
    study : Study
    found : Found
        Files that are there.
    """
    there = [
        (job.stage, own, path)
        for job in study.graph.jobs
        if job.stage in ("stimuli", "responses", "extract", "fit")
        for path, own in study.graph.files(job.stage, job.keys)
        if is_there(found, path)
    ]
    some = list(islice(there, 0, None, max(1, len(there) // SAMPLE)))
    if not some:
        return []
    from convergent.store.request import is_current  # which imports array libraries

    outdated = sum(is_current(study, *one) is False for one in some)
    unknown = sum(not _is_known(path) for _, _, path in some)
    many = f"{len(some):,} stores looked at" if len(some) < len(there) else f"{len(some):,} stores"
    told = []
    if unknown:
        told.append(
            f"{unknown:,} of {many} have no record in .snakemake (results were moved or copied "
            "without it), and Snakemake would never find them out of date: run `convergent adopt`"
        )
    if outdated:
        told.append(
            f"{outdated:,} of {many} are of other settings than the study's: `convergent verify` "
            "lists them" + ("" if unknown else ", and a run makes them again")
        )
    return told


def _is_known(path: str) -> bool:
    """Whether Snakemake has a record of a file."""
    name = base64.urlsafe_b64encode(path.encode()).decode()
    *folders, last = (name[start : start + 254] for start in range(0, len(name), 254))
    return Path(".snakemake", "metadata", *(f"@{part}" for part in folders), last).exists()
