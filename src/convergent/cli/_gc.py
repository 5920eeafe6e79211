"""Delete what a study does not need any more."""

from __future__ import annotations

from typing import Annotated

import typer

from convergent.cli._app import DEFAULT_STUDY, Overrides, StudyFile, app, load

_WORDS = {
    "fitted": "features whose fits are complete",
    "orphan": "results of what has left the study",
    "temporary": "temporaries of killed jobs",
    "link": "kept stores that the study no longer asks for",
}


@app.command(rich_help_panel="Inspect")
def gc(
    study: StudyFile = DEFAULT_STUDY,
    family: Annotated[
        str | None, typer.Option("--family", help="Only features of this family.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", "-n", help="Show what would be deleted."),
    ] = False,
    orphans: Annotated[
        bool,
        typer.Option(
            "--orphans", help="Also results of models, subjects or data sets that left the study."
        ),
    ] = False,
    overrides: Overrides = [],
) -> None:
    """Delete features that are fitted for all subjects, and what killed jobs left behind.

    A fit that needs deleted features later (of a new metric, of a new subject) has them made again.
    """
    from convergent.ops import gc as stage

    loaded = load(study, overrides)
    if not dry_run:
        stage.refuse_while_running()
    found = stage.find(loaded, family, with_orphans=orphans)
    if dry_run:
        for item in found:
            typer.echo(f"{item.bytes:>14,}  {item.path}")
    else:
        stage.remove(found)
    for reason, words in _WORDS.items():
        some = [item for item in found if item.reason == reason]
        if some:
            typer.echo(f"{words}: {len(some):,}, {sum(i.bytes for i in some) / 1e6:,.1f} MB")
    done = "would be deleted" if dry_run else "deleted"
    typer.echo(f"{sum(item.bytes for item in found):,} bytes {done}")
