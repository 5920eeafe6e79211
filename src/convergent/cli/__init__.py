"""Command line: one command a stage, and what people ask of a study."""

from __future__ import annotations

import errno
import os
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
from convergent.errors import ConvergentError, printable

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


# What a path, its permissions or a disk may be to blame for, wherever a file is touched.
_OF_FILES = frozenset(
    (
        *(errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
        *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    )
)


def main() -> None:
    """Run the command line; an error in the input is one line on standard error, exit status 2."""
    try:
        app()
    except ConvergentError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _OF_FILES or error.filename is None:
            raise
        name = printable(os.fsdecode(error.filename))
        print(f"error: {name}: {error.strerror}. Fix: correct the path", file=sys.stderr)
        sys.exit(2)
