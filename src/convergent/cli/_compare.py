"""Two studies, or two versions of one, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from convergent.cli._app import app

if TYPE_CHECKING:
    from convergent.tables.comparison import Comparison

_TARGET = "Directory results/<study>, or a study's YAML file."


@app.command(rich_help_panel="Results")
def compare(
    a: Annotated[str, typer.Argument(help=_TARGET)],
    b: Annotated[str, typer.Argument(help=_TARGET)],
    tolerance: Annotated[
        float | None,
        typer.Option("--tolerance", min=0, help="End with 1 if a shared score differs by more."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Also write one page that opens offline.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="Rows of each table.")] = 15,
) -> None:
    """Compare two results: what differs, and by how much (difference B - A)."""
    from convergent.store import publish
    from convergent.tables.comparison import compare_results
    from convergent.tables.comparison_page import comparison_page, verdict

    found = compare_results(a, b, tolerance=1e-6 if tolerance is None else tolerance)
    if html is not None:
        with publish(html) as temporary:
            temporary.write_text(comparison_page(found), encoding="utf-8")
    if json:
        _print_json(found)
    else:
        _tell(found, rows)
        typer.echo(verdict(found))
    if tolerance is not None and not found.scores.same:
        raise typer.Exit(1)


def _print_json(found: Comparison) -> None:
    import json

    from convergent.tables.comparison_page import verdict

    typer.echo(json.dumps({"verdict": verdict(found), **found.as_dict()}, indent=1))


def _tell(found: Comparison, rows: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from convergent.tables.comparison_page import sections

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    for name in found.facts.unrecorded:
        console.print(f"note: {name} does not say what it was made from", highlight=False)
    for section in sections(found, most=rows):
        table = Table(title=section.title, title_justify="left", caption=section.note or None)
        for name, number in section.columns:
            table.add_column(name, justify="right" if number else "left")
        for row in section.rows:
            table.add_row(*row)
        console.print(table)
