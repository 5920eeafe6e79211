"""What people ask of a study before and after it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from convergent.cli._app import DEFAULT_STUDY, Overrides, StudyFile, app, load, settings
from convergent.errors import printable
from convergent.study import Study, Unit

_PANEL = "Inspect"


@app.command(rich_help_panel=_PANEL)
def validate(
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
    data: Annotated[
        bool, typer.Option("--data/--no-data", help="Also open the files of data sets and weights.")
    ] = True,
) -> None:
    """Check a study's configuration, tables and data sets; report all errors together."""
    chosen = settings(overrides)
    errors = Study.mistakes(study, chosen)
    if not errors:
        from convergent.pipeline.validate import study_errors, study_warnings

        loaded = Study.load(study, chosen)
        errors = study_errors(loaded, read=data)
        for warning in study_warnings(loaded):
            typer.echo(f"warning: {warning}", err=True)
    for error in errors:
        typer.echo(f"error: {error}", err=True)
    if errors:
        typer.echo(f"{len(errors)} error(s) in {printable(study)}", err=True)
        raise typer.Exit(2)
    typer.echo(f"{study}: no errors found; {_counts(loaded)}")


def _counts(study: Study) -> str:
    units = [Unit(key) for key in study.models]
    stores = sum(len(study.feature_files(unit)) for unit in units)
    fits = sum(len(study.alignment_files(unit)) for unit in units)
    checkpoints = sum(len(model.checkpoints) for model in study.models.values())
    return (
        f"{len(study.models)} models in {len(study.families)} families, "
        f"{checkpoints} checkpoints, {stores} layers, {fits} fits"
    )


@app.command("ls", rich_help_panel=_PANEL)
def list_models(
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
    family: Annotated[str | None, typer.Option("--family", help="Only this family.")] = None,
) -> None:
    """List the models of a study."""
    from rich.console import Console
    from rich.table import Table

    loaded = load(study, overrides)
    keys = loaded.family(family) if family else list(loaded.models)
    table = Table(title=f"{loaded.config.title} ({study})", title_justify="left")
    for column in ("family", "model", "modality", "source"):
        table.add_column(column, no_wrap=True)
    for column in ("parameters", "checkpoints", "layers", "fits"):
        table.add_column(column, justify="right")
    for key in keys:
        model = loaded.models[key]
        table.add_row(
            model.family,
            model.key,
            model.modality,
            model.source,
            f"{model.parameters:,}",
            str(len(model.checkpoints)),
            str(len(model.layers)),
            str(len(loaded.alignment_files(Unit(key)))),
        )
    console = Console()
    console.print(table, soft_wrap=not console.is_terminal)
    console.print(_counts(loaded))
