"""What a study would take, before it runs, and names of its parts for Snakemake."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from convergent.cli._app import (
    DEFAULT_STUDY,
    AnyCheckpoint,
    AnyDataset,
    AnyLayer,
    AnySubject,
    Overrides,
    StudyFile,
    app,
    load,
)
from convergent.ops.plan import Estimate, Plan, estimate
from convergent.study import json_schema
from convergent.study.graph import targets as targets_of

_PANEL = "Inspect"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


@app.command(rich_help_panel=_PANEL)
def plan(
    study: StudyFile = DEFAULT_STUDY,
    family: Annotated[str | None, typer.Option("--family", help="Only this family.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, in bytes and hours.")] = False,
    overrides: Overrides = [],
) -> None:
    """Estimate what is left, by family: jobs, GPU and processor hours, storage, inodes."""
    made = estimate(load(study, overrides), family)
    if as_json:
        parts = {name: asdict(row) for name, row in made.families.items()}
        content = {"families": parts, "shared": asdict(made.shared), "total": asdict(made.total)}
        typer.echo(json.dumps(content | {"notes": list(made.notes)}, indent=1))
        return
    _print(made)


@app.command(rich_help_panel=_PANEL)
def targets(
    study: StudyFile = DEFAULT_STUDY,
    family: Annotated[str | None, typer.Option("--family", help="Only this family.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only this model.")] = None,
    checkpoint: AnyCheckpoint = None,
    steps: Annotated[
        str | None, typer.Option("--steps", help="Only checkpoints of these steps: 0:1000.")
    ] = None,
    layer: AnyLayer = None,
    dataset: AnyDataset = None,
    subject: AnySubject = None,
    overrides: Overrides = [],
) -> None:
    """Print the fits of a part of a study, for `snakemake $(convergent targets ...)`."""
    chosen = targets_of(
        load(study, overrides),
        family=family,
        model=model,
        checkpoint=checkpoint,
        steps=steps,
        layer=layer,
        dataset=dataset,
        subject=subject,
    )
    for path in chosen:
        typer.echo(path)


@app.command(rich_help_panel=_PANEL)
def schema() -> None:
    """Print the JSON schema of a study's configuration, for editors and other workflows."""
    typer.echo(json.dumps(json_schema(), indent=2))


def _print(made: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    table.add_column("family", no_wrap=True)
    for column in (
        *("models", "checkpoints", "layers", "jobs", "done"),
        *("GPU hours", "CPU hours", "storage", "inodes"),
    ):
        table.add_column(column, justify="right", no_wrap=True)
    for name, row in made.families.items():
        table.add_row(name, *_cells(row))
    table.add_section()
    table.add_row("(shared)", *_cells(made.shared))
    table.add_row("total", *_cells(made.total))
    # figures are not shortened, however narrow the place
    Console(width=max(Console().width, 132)).print(table)
    total = made.total
    typer.echo(
        f"{_size(total.feature_bytes)} of the storage are features, which `convergent gc` deletes "
        "once they are fitted"
    )
    for note in made.notes:
        typer.echo(note)


def _cells(row: Estimate) -> list[str]:
    counts = (row.models, row.checkpoints, row.layers, row.jobs, row.done)
    return [
        *(f"{count:,}" for count in counts),
        f"{row.gpu_hours:,.1f}",
        f"{row.cpu_hours:,.1f}",
        _size(row.feature_bytes + row.alignment_bytes),
        f"{row.inodes:,}",
    ]


def _size(number: float) -> str:
    for unit in _UNITS[:-1]:
        if number < 1000:
            return f"{number:.0f} {unit}" if unit in ("B", "kB") else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} {_UNITS[-1]}"
