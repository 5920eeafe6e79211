"""Download a public data set to a directory."""

from __future__ import annotations

from typing import Annotated

import typer

from convergent.cli._app import app
from convergent.errors import UnknownKeyError, did_you_mean

_FETCHABLE = ("alice",)


@app.command(rich_help_panel="Inspect")
def fetch(
    name: Annotated[str, typer.Argument(help="Data set: alice.")],
    to: Annotated[str, typer.Option("--to", help="Directory; made if it does not exist.")],
) -> None:
    """Download a public data set, checked against recorded SHA-256 sums."""
    if name not in _FETCHABLE:
        raise UnknownKeyError(
            f"no data set '{name}' can be fetched", fix=did_you_mean(name, _FETCHABLE)
        )
    from convergent.brains.alice import download

    download(to, report=typer.echo)
