"""Commands about models and their tables, without a study."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from convergent.cli._app import app

models_app = typer.Typer(no_args_is_help=True, help="Models and their published tables.")
app.add_typer(models_app, name="models", rich_help_panel="Models")

DEFAULT_TABLES = "config/models"
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, help="Processes.")]


@models_app.command()
def inspect(
    reference: Annotated[
        str,
        typer.Argument(help="Architecture of timm or open_clip, hub id in the cache, or folder."),
    ],
    source: Annotated[str, typer.Option("--source", help="timm, open_clip or transformers.")] = "",
    architecture: Annotated[
        str, typer.Option("--architecture", help="Where the reference does not say it.")
    ] = "",
    modality: Annotated[
        str, typer.Option("--modality", help="Of a model with two towers: vision or language.")
    ] = "",
) -> None:
    """List the layers that a model offers, and propose its table row. Needs no weights."""
    from convergent.models.inspect import inspect as look
    from convergent.zoo import resolve, sketch
    from convergent.zoo.propose import propose, proposed_row

    if modality not in ("vision", "language", ""):
        raise typer.BadParameter("vision or language", param_hint="--modality")
    chosen = cast(Literal["vision", "language"], modality) if modality else None
    model, directory = resolve(reference, source=source, architecture=architecture, modality=chosen)
    network = sketch(model, directory)
    found = look(network)
    _show_candidates(model.key, network.parameters, found)
    row = proposed_row(model, propose(found, network.parameters), directory)
    typer.echo("\nRow for a models table; complete family, revision and tags:")
    typer.echo("\t".join(row.columns))
    cells = row.cells()
    typer.echo("\t".join(cells[name] for name in row.columns))


def _show_candidates(name: str, parameters: int, found: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from convergent.models.inspect import Inspection

    assert isinstance(found, Inspection)
    listed = found.listed()
    title = f"{name}: {parameters:,} parameters, {len(found.candidates)} candidate layers"
    table = Table(title=title, title_justify="left")
    for column in ("", "kind", "path", "class", "output", "layout"):
        table.add_column(column, no_wrap=True)
    for column in ("width", "skip", "depth"):
        table.add_column(column, justify="right")
    for item in found.candidates:
        table.add_row(
            "*" if item in listed else "",
            item.kind,
            item.path,
            item.class_name,
            str(item.shape),
            item.axes.layout,
            str(item.axes.width),
            str(item.axes.prefix or ""),
            f"{item.depth:.2f}",
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)  # whole paths, for files and pipes
    console.print(table)
    console.print(f"* in the proposed row; modules left out: {len(found.left_out)}")
    for left in found.left_out:
        console.print(f"  {left.path}: {left.reason}", highlight=False, soft_wrap=True)


@models_app.command()
def build(
    figures: Annotated[
        Path, typer.Option("--figures", help="Folder of published scores, with SOURCE.md.")
    ],
    only: Annotated[
        str, typer.Option("--only", help="Sources, separated by commas; all by default.")
    ] = "",
    to: Annotated[Path, typer.Option("--to", help="Folder of the tables.")] = Path(DEFAULT_TABLES),
    jobs: Jobs = 1,
) -> None:
    """Make the published tables from figures, and tell what changed."""
    from convergent.zoo import Figures, build_tables, builder_names, write_tables

    names = [name.strip() for name in only.split(",") if name.strip()] or builder_names()
    for name in names:
        built = build_tables(name, Figures(figures), jobs=jobs, progress=_progress(name))
        for file, difference in write_tables(built, to).items():
            typer.echo(f"{to / file}: {difference.counts}")
            for line in difference.lines(most=20):
                typer.echo(f"  {line}")
        for model, reason in sorted(built.left_out.items()):
            typer.echo(f"left out: {model}: {reason}")


@models_app.command()
def check(
    tables: Annotated[
        list[Path] | None, typer.Argument(help=f"Tables or folders; {DEFAULT_TABLES} by default.")
    ] = None,
    only: Annotated[
        list[str], typer.Option("--only", help="Only this family. May be repeated.")
    ] = [],
    jobs: Jobs = 1,
) -> None:
    """Compare every row with its network, built without weights: layers, widths, layout, size."""
    from convergent.zoo import check_tables, find_tables

    start = time.perf_counter()
    places = find_tables(tables or [Path(DEFAULT_TABLES)])
    report = check_tables(places, families=only, jobs=jobs, progress=_progress("check"))
    seconds = time.perf_counter() - start
    for attribute in ("source", "modality", "family"):
        counts = report.counts(attribute).items()
        typer.echo(f"by {attribute}: " + ", ".join(f"{name} {count}" for name, count in counts))
    if report.models:
        small, large = report.extremes()
        typer.echo(
            f"smallest: {small.key} ({small.parameters:,}); "
            f"largest: {large.key} ({large.parameters:,})"
        )
    layers = sum(len(model.layers) for model in report.models)
    typer.echo(
        f"{len(report.models)} models, {layers} layers, {report.scores} scores; "
        f"{report.networks} distinct networks in {seconds:.0f} s with {jobs} process(es)"
    )
    for error in report.errors:
        typer.echo(f"error: {error}", err=True)
    if report.errors:
        typer.echo(f"{len(report.errors)} error(s)", err=True)
        raise typer.Exit(2)
    typer.echo("no errors found")


def _progress(name: str) -> Callable[[int, int], None]:
    """Report on a line of its own now and then, which suits terminals and logs alike."""

    def report(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            typer.echo(f"{name}: {done} of {total} networks", err=True)

    return report
