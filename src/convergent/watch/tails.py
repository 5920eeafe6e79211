"""The last lines of a job's own log."""

from __future__ import annotations

import os
import re
from pathlib import Path

_BYTES = 8192
_LONGEST = 300
# How the commands and Python end when they fail, and what a shell says of a killed command.
_ERROR = re.compile(
    r"^(error: |\w*(\.\w+)*(Error|Exception|Interrupt)\b|Killed|Terminated|.*core dumped)",
)


def last_lines(path: str | Path, number: int) -> list[str]:
    """Last lines of a text file that say something; none if it can't be read."""
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    lines = [line.rstrip()[:_LONGEST] for line in text.splitlines() if line.strip()]
    return lines[-number:] if number else []


def ends_in_error(path: str | Path) -> bool:
    """Whether a log ends as that of a command that failed."""
    return any(_ERROR.match(line) for line in last_lines(path, 2))
