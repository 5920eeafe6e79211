"""Commands about the results' tables: ask them in SQL, and make the labelled array."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convergent.cli._app import DEFAULT_STUDY, DatasetName, Overrides, StudyFile, app, load
from convergent.errors import TableError

if TYPE_CHECKING:
    import pyarrow as pa

    from convergent.tables.query import TableInfo
    from convergent.tables.results import Results

_PANEL = "Results"


@app.command(rich_help_panel=_PANEL)
def query(
    question: Annotated[
        str | None, typer.Argument(metavar="SQL", help="One SELECT over the tables' names.")
    ] = None,
    study: StudyFile = DEFAULT_STUDY,
    overrides: Overrides = [],
    results: Annotated[
        Path | None,
        typer.Option("--results", help="Directory results/<study>, in place of --study."),
    ] = None,
    tables: Annotated[
        bool, typer.Option("--tables", help="List the tables, their columns and rows.")
    ] = False,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows to show.")] = 50,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write all rows to a .csv.")] = None,
    parquet: Annotated[
        Path | None, typer.Option("--parquet", help="Write all rows to a .parquet.")
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option("--memory-gb", min=0.1, help="GiB before parts of the work go to disk."),
    ] = None,
) -> None:
    """Ask the tables of a study in SQL; nothing of the results is ever changed."""
    from convergent.tables.query import answers, table_list, write_answers
    from convergent.tables.results import results_in, results_of

    found = results_of(load(study, overrides)) if results is None else results_in(results)
    _tell_parts(found)
    if tables:
        _list(table_list(found))
    if question is None:
        if not tables:
            raise TableError("no question", fix="ask a SELECT, or list the tables with --tables")
        return
    targets = [(csv, ".csv"), (parquet, ".parquet")]
    files = [_named(path, suffix) for path, suffix in targets if path is not None]
    for path in files:
        with answers(found, question, memory_gb=memory) as reader:
            typer.echo(f"{path}: {write_answers(reader, path):,} rows")
    if not files:
        with answers(found, question, memory_gb=memory) as reader:
            _show(reader, rows)


def _named(path: Path, suffix: str) -> Path:
    if path.suffix != suffix:
        raise TableError(f"cannot write '{path}'", fix=f"name a {suffix} file")
    return path


def _tell_parts(results: Results) -> None:
    for path in results.stale:
        typer.echo(f"note: {path} is of no family of the study: left out", err=True)
    if results.absent:
        names = ", ".join(results.absent[:5]) + (", ..." if len(results.absent) > 5 else "")
        typer.echo(
            f"note: {len(results.absent)} families have no measurements yet: {names}", err=True
        )


def _list(found: list[TableInfo]) -> None:
    from rich.table import Table

    table = Table()
    for name, justify in (("table", "left"), ("rows", "right"), ("files", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("columns")
    for info in found:
        columns = ", ".join(f"{name} {kind}" for name, kind in info.columns.items())
        table.add_row(info.name, f"{info.rows:,}", str(info.files), columns)
    _print(table)


def _show(reader: pa.RecordBatchReader, most: int) -> None:
    from rich.table import Table

    kept: list[dict[str, object]] = []
    more = 0
    for batch in reader:
        take = min(most - len(kept), batch.num_rows)
        kept += batch.slice(0, take).to_pylist()
        more += batch.num_rows - take
    table = Table()
    for field in reader.schema:
        numeric = str(field.type).startswith(("int", "uint", "double", "float", "decimal"))
        table.add_column(field.name, justify="right" if numeric else "left")
    for row in kept:
        table.add_row(*map(_cell, row.values()))
    _print(table)
    shown = f"{len(kept)} of {len(kept) + more:,} rows" if more else f"{len(kept)} rows"
    typer.echo(f"{shown}; all of them: --csv FILE or --parquet FILE" if more else shown)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print(table: object) -> None:
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)


@app.command(rich_help_panel=_PANEL)
def maps(dataset: DatasetName, study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []) -> None:
    """Write the alignment of each target, mean and spread over final models (zarr)."""
    from convergent.pipeline import maps as stage

    typer.echo(stage.write_maps(load(study, overrides), dataset))


@app.command(rich_help_panel=_PANEL)
def cube(dataset: DatasetName, study: StudyFile = DEFAULT_STUDY, overrides: Overrides = []) -> None:
    """Write a data set's measurements as one labelled array (zarr), for xarray."""
    from convergent.pipeline import cube as stage

    typer.echo(stage.write_cube(load(study, overrides), dataset))
