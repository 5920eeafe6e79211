"""The command that pins weights to commits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from convergent.cli._models import models_app


@models_app.command()
def pin(
    tables: Annotated[
        list[Path],
        typer.Argument(help="Tables of models and of checkpoints, each with those it refers to."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show, and change no file.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Also renew commits whose branch has moved.")
    ] = False,
) -> None:
    """Ask the hub for the commit of each reference and branch, and write it into the table."""
    from convergent.zoo import pin_tables

    def progress(done: int, total: int) -> None:
        if done and done % 50 == 0:
            typer.echo(f"pin: {done} of {total} repositories", err=True)

    report = pin_tables(tables, update=update, dry_run=dry_run, progress=progress)
    for line in report.pinned:
        typer.echo(str(line))
    for line in report.failed:
        typer.echo(str(line), err=True)
    verb = "would be written" if dry_run else "written"
    typer.echo(f"{len(report.pinned)} commit(s) {verb}, {report.kept} row(s) left as they are")
    if report.failed:
        typer.echo(f"{len(report.failed)} row(s) without an answer of the hub", err=True)
        raise typer.Exit(2)
