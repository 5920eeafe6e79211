"""What people ask of a study before and after it runs."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from convergent.cli._app import DEFAULT_STUDY, Overrides, StudyFile, app, load, settings
from convergent.errors import ConvergentError
from convergent.registry import CLAIMS
from convergent.study import Study, Unit, resources

_PANEL = "Inspect"


@app.command(rich_help_panel=_PANEL)
def validate(
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
    data: Annotated[
        bool, typer.Option("--data/--no-data", help="Also open the data sets' files.")
    ] = True,
) -> None:
    """Check a study's configuration, tables and data sets; tell every mistake."""
    chosen = settings(overrides)
    mistakes = Study.mistakes(study, chosen)
    if not mistakes:
        loaded = Study.load(study, chosen)
        mistakes = _data_mistakes(loaded, data)
    for mistake in mistakes:
        typer.echo(f"error: {mistake}", err=True)
    if mistakes:
        typer.echo(f"{len(mistakes)} mistake(s) in {study}", err=True)
        raise typer.Exit(2)
    typer.echo(f"{study}: no mistakes found; {_counts(loaded)}")


def _data_mistakes(study: Study, read: bool) -> list[ConvergentError]:
    from convergent.alignment.similarity import check_metrics
    from convergent.brains import open_dataset
    from convergent.evaluation import check_evaluations
    from convergent.extraction import check_pooling
    from convergent.models import Options, source
    from convergent.models import load as load_model
    from convergent.pipeline.evaluate import material_of
    from convergent.pipeline.metric_validity import metric_mistakes
    from convergent.pipeline.workers import worker_mistakes
    from convergent.zoo import unpinned_mistake

    mistakes: list[ConvergentError] = [*resources.mistakes(study), *CLAIMS.errors()]
    mistakes += worker_mistakes(study.config.aggregation)
    unpinned = unpinned_mistake(study.models.values())
    if unpinned is not None:
        mistakes.append(unpinned)
    if study.config.fit.similarities:
        try:
            check_metrics(study.config.fit.similarities)
        except ConvergentError as error:
            mistakes.append(error)
    try:
        check_evaluations(study.config.performance.evaluations, material_of(study))
    except ConvergentError as error:
        mistakes.append(error)
    with contextlib.suppress(ConvergentError):  # said below, data set by data set
        mistakes += metric_mistakes(study)
    for model in study.models.values():
        try:
            if model.is_control:
                load_model(model, model.checkpoints[0], None)
                continue
            Options(model, source(model.source).options)
            for name in study.datasets_of(model.key):
                check_pooling(model, study.dataset(name).design)
        except ConvergentError as error:
            mistakes.append(error)
    for name, config in study.config.datasets.items():
        try:
            reader = open_dataset(name, config)
            if read:
                reader.stimuli()
        except ConvergentError as error:
            mistakes.append(error)
    return mistakes


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
