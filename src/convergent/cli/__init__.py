"""Command line: one command a stage, and what people ask of a study."""

from __future__ import annotations

import sys

from convergent.cli import (
    _compare,
    _data,
    _doctor,
    _fetch,
    _gc,
    _inspect,
    _models,
    _pin,
    _plan,
    _stages,
    _status,
    _tables,
    _verify,
)
from convergent.cli._app import app
from convergent.errors import ConvergentError

# the command modules register themselves when they are imported
__all__ = [
    "_compare",
    "_data",
    "_doctor",
    "_fetch",
    "_gc",
    "_inspect",
    "_models",
    "_pin",
    "_plan",
    "_stages",
    "_status",
    "_tables",
    "_verify",
    "app",
    "main",
]


def main() -> None:
    """Run the command line; a mistake in the input is one line on standard error, exit status 2."""
    try:
        app()
    except ConvergentError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
