"""``convergent doctor``: whether a study can run here, before it does."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convergent.cli._app import DEFAULT_STUDY, Overrides, StudyFile, app, settings
from convergent.errors import ConvergentError
from convergent.study import Study

if TYPE_CHECKING:
    from convergent.ops.checks import Check

_LOCK = Path("envs", "lock.txt")
_MOST_MISTAKES = 20


@app.command(rich_help_panel="Inspect")
def doctor(
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
    profile: Annotated[
        Path, typer.Option("--profile", help="Folder of the profile for the cluster.")
    ] = Path("profiles", "slurm"),
    data: Annotated[
        bool, typer.Option("--data/--no-data", help="Also open data sets and check models.")
    ] = True,
    test_job: Annotated[
        bool, typer.Option("--test-job", help="Submit one tiny job and wait for it.")
    ] = False,
    wait: Annotated[
        int, typer.Option("--wait", min=1, help="Seconds that the test job may take.")
    ] = 600,
    in_job: Annotated[
        Path | None, typer.Option("--in-job", hidden=True, help="The test job itself.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Check machine, cluster, disk, data and tables before a run; exit status 1 on problems."""
    if in_job is not None:
        from convergent.ops.test_job import answer

        answer(Study.load(study, settings(overrides)), in_job)
        return
    found = []
    for check in _checks(study, overrides, profile, data, wait if test_job else None):
        found.append(check)
        if not as_json:
            _tell(check)
    problems = sum(check.level == "problem" for check in found)
    warnings = sum(check.level == "warning" for check in found)
    if as_json:
        keys = ("level", "about", "text", "fix")
        checks = [{key: getattr(check, key) for key in keys} for check in found]
        typer.echo(json.dumps({"checks": checks, "problems": problems}, indent=2))
    else:
        typer.echo(f"{problems} problem(s), {warnings} warning(s)")
    if problems:
        raise typer.Exit(1)


def _checks(
    file: str, overrides: list[str], profile: Path, data: bool, wait: int | None
) -> Iterator[Check]:
    from convergent.ops import checks as machine
    from convergent.ops import cluster, disk
    from convergent.ops.checks import Check
    from convergent.ops.disk import needs
    from convergent.ops.folder_listing import listed
    from convergent.ops.records import notes
    from convergent.ops.test_job import run_test_job

    yield from machine.packages(_LOCK)
    chosen = settings(overrides)
    mistakes = Study.mistakes(file, chosen)
    yield from _told("study", mistakes)
    if mistakes:
        fix = "mend the study first: what it needs is not known yet"
        yield Check("warning", "study", "nothing else was checked", fix)
        return
    study = Study.load(file, chosen)
    yield Check("ok", "study", f"{file}: configuration and tables are well-formed")
    if data:
        # the readers say what is missing of a data set, and whether its agreement is accepted
        from convergent.pipeline.validate import study_errors

        wrong = study_errors(study)
        yield from _told("data and models", wrong)
        if not wrong:
            names = ", ".join(study.config.datasets)
            yield Check("ok", "data and models", f"{names} can be read, all models are pinned")
    found = listed(study.paths.root, without=("figures", "logs"))
    need = needs(study, found)
    yield from disk.room(study, need)
    yield from disk.abilities(study)
    yield from disk.cache(study, need)
    for note in notes(study, found):
        text, _, fix = note.partition(": ")
        yield Check("warning", "results: records", text, fix)
    yield from machine.earlier_runs(study)
    yield from cluster.cluster(study, profile)
    if wait is not None:
        yield from run_test_job(study, overrides, profile, wait)


def _told(about: str, mistakes: Sequence[ConvergentError]) -> Iterator[Check]:
    from convergent.ops.checks import Check

    for mistake in mistakes[:_MOST_MISTAKES]:
        text = f"{mistake.where}: {mistake.what}" if mistake.where else mistake.what
        yield Check("problem", about, " ".join(text.split()), mistake.fix or "")
    if len(mistakes) > _MOST_MISTAKES:
        more = len(mistakes) - _MOST_MISTAKES
        yield Check("problem", about, f"{more} more", "`convergent validate` tells all")


def _tell(check: Check) -> None:
    from rich.console import Console
    from rich.text import Text

    colour = {"ok": "green", "warning": "yellow", "problem": "bold red"}[check.level]
    fix = f". Fix: {check.fix}" if check.fix else ""
    line = Text.assemble((f"{check.level:8}", colour), f"{check.about}: {check.text}{fix}")
    Console(soft_wrap=True).print(line)
