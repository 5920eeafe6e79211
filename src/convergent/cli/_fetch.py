"""Download a public data set or an atlas to a directory."""

from __future__ import annotations

from typing import Annotated

import typer

from convergent.cli._app import app
from convergent.errors import UnknownKeyError, did_you_mean

_FETCHABLE = ("alice", "atlas")


@app.command(rich_help_panel="Inspect")
def fetch(
    name: Annotated[str, typer.Argument(help="Data set (alice), or atlas.")],
    to: Annotated[str, typer.Option("--to", help="Directory; made if it does not exist.")],
    atlas: Annotated[
        str, typer.Argument(help="After `atlas`, which: hcp-mmp1, schaefer-400, ...")
    ] = "",
) -> None:
    """Download a public data set or an atlas, checked against recorded SHA-256 sums."""
    if name not in _FETCHABLE:
        raise UnknownKeyError(f"'{name}' cannot be fetched", fix=did_you_mean(name, _FETCHABLE))
    if name == "atlas":
        from convergent.brains.atlas import fetch_atlas

        typer.echo(fetch_atlas(atlas, to, report=typer.echo))
        return
    from convergent.brains.alice import download

    download(to, report=typer.echo)
