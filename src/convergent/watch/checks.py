"""What one check of `convergent doctor` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a diagnosis.

    Attributes
    ----------
    level : {"ok", "warning", "problem"}
        With a problem a run would fail; a warning is something to know.
    about : str
        What was looked at.
    text : str
    fix : str
        What to do; empty for what is ok.
    """

    level: Level
    about: str
    text: str
    fix: str = ""


def gigabytes(number: float) -> str:
    """Bytes for people."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number / 1e6:.0f} MB"
