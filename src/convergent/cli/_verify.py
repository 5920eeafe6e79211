"""``convergent verify``: whether a study's files are what they should be."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from convergent.cli._app import DEFAULT_STUDY, Overrides, StudyFile, app, load
from convergent.errors import ConfigError
from convergent.study import parse_overrides

if TYPE_CHECKING:
    from convergent.ops.verify import Mending, Verified
    from convergent.study import Study

_TOLD = 20


@app.command(rich_help_panel="Inspect")
def verify(
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
    family: Annotated[str | None, typer.Option("--family", help="Only this family.")] = None,
    delete: Annotated[
        bool,
        typer.Option("--delete", help="Remove bad files and what was made from them."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Read descriptions only: finds no flipped bits.")
    ] = False,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Files read at once.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="For programs; all findings.")] = False,
) -> None:
    """Find damaged, outdated and missing results, and name what to run again (exit status 1)."""
    from convergent.ops.verify import mending, remove
    from convergent.ops.verify import verify as check

    loaded = load(study, overrides)
    if delete:
        _refuse_while_running(loaded)
    with _progress() as tick:
        found = check(loaded, family, quick=quick, threads=jobs, tick=tick)
    what = mending(loaded, found.findings)
    removed = remove(found.findings, what) if delete else None
    if as_json:
        typer.echo(json.dumps(_content(found, what, removed), indent=2))
    else:
        _tell(loaded, found, what, removed)
    if found.findings and not delete:
        raise typer.Exit(1)


@app.command(rich_help_panel="Inspect")
def adopt(
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
    snakefile: Annotated[
        str, typer.Option("--snakefile", help="As of Snakemake's option of this name.")
    ] = "Snakefile",
) -> None:
    """Let Snakemake know results that were moved or copied without its folder .snakemake.

    Files of the study's present settings count from then on; others are made again by the next run.
    """
    from convergent.ops.gc import refuse_while_running
    from convergent.ops.records import adopt as record

    loaded = load(study, overrides)
    refuse_while_running()
    found = record(loaded, parse_overrides(overrides), snakefile)
    typer.echo(
        f"{found.current:,} files are of the study's settings; the next run makes "
        f"{found.outdated:,} files of other settings again, and {found.unknown:,} tables and "
        "pages, which do not say what they are of"
    )


def _refuse_while_running(study: Study) -> None:
    from convergent.ops.runs import current, runs_of

    run, alive = current(runs_of(study))
    if run is not None and alive:
        raise ConfigError(
            "Snakemake is at work on this study: nothing is removed",
            where=str(run.file),
            fix="wait for it or stop it; without --delete, verify may run meanwhile",
        )


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = ("files", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("files", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _tell(study: Study, found: Verified, what: Mending, removed: int | None) -> None:
    for one in found.findings:
        typer.echo(f"{one.kind}: {one.path}: {one.what}")
    for path in found.orphans:
        typer.echo(f"orphan: {path}")
    for note in found.notes:
        typer.echo(f"note: {note}")
    if found.orphans:
        typer.echo(
            f"{len(found.orphans):,} file(s) of what is not in the study: `convergent gc "
            "--orphans` deletes them, `convergent.read_measurements` leaves them out"
        )
    count = len(found.findings)
    typer.echo(f"{found.checked:,} files read, {count:,} finding(s)")
    if not count:
        return
    command = f"snakemake --configfile {shlex.quote(study.file)}"
    targets = [shlex.quote(target) for target in what.targets]
    if removed is None:
        typer.echo(
            f"{len(what.targets):,} job(s) to run again. Remove the files, and "
            f"{len(what.derived):,} made from them, with --delete; or make them again in place:"
        )
        command += " --force"
    else:
        typer.echo(f"{removed:,} files removed; the next run makes them again, or these alone:")
    shown = " ".join(targets[:_TOLD])
    typer.echo(f"  {command} {shown}")
    if len(targets) > _TOLD:
        typer.echo(f"  ... and {len(targets) - _TOLD:,} more targets: --json names all")


def _content(found: Verified, what: Mending, removed: int | None) -> dict[str, object]:
    return {
        "checked": found.checked,
        "findings": [
            {"kind": one.kind, "path": one.path, "what": one.what} for one in found.findings
        ],
        "targets": what.targets,
        "bad": what.bad,
        "derived": what.derived,
        "removed": removed,
        "notes": found.notes,
        "orphans": found.orphans,
    }
