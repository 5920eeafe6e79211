"""Which figure and which table stands in which section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._embed import Embedded
from ._sections import Table

# Registered figures in reading order. A figure that no section names stands in the last one.
_SECTIONS: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    (
        "performance",
        "Performance and alignment",
        "Performance",
        ("performance-alignment", "metrics"),
    ),
    (
        "training",
        "Training",
        "Training",
        ("trajectories", "leads"),
    ),
    (
        "regions",
        "Regions",
        "Regions",
        ("cortical-surface", "gradient", "networks", "region-bars", "region-dots"),
    ),
    (
        "scale",
        "Scale and depth",
        "Scale and depth",
        ("scales", "scale-peaks", "depth", "layer-region", "convergence", "representations"),
    ),
    (
        "controls",
        "Controls and coverage",
        "Controls",
        ("controls", "planted-recovered"),
    ),
)
FURTHER = ("further", "Further figures", "Further")


@dataclass(frozen=True)
class Section:
    """A section of findings: heading, figures, tables, notes beneath them.

    Attributes
    ----------
    key, title, short : str
        Anchor, heading, and the heading's short form in the contents.
    figures : sequence of Embedded
    tables : sequence of Table
    notes : sequence of str
        Small print.
    """

    key: str
    title: str
    short: str
    figures: Sequence[Embedded] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


def outline(
    figures: Sequence[Embedded],
    tables: Mapping[str, Sequence[Table | None]],
    notes: Mapping[str, Sequence[str]],
) -> list[Section]:
    """Lay the figures and tables out in sections; a section with nothing to show is left out.

    Parameters
    ----------
    figures : sequence of Embedded
    tables, notes : dict of str to sequence
        Of each section.
    """
    named = {name for *_, names in _SECTIONS for name in names}
    rest = tuple(dict.fromkeys(f.drawing.figure for f in figures if f.drawing.figure not in named))
    sections = []
    for key, title, short, names in (*_SECTIONS, (*FURTHER, rest)):
        mine = [f for name in names for f in figures if f.drawing.figure == name]
        grids = [table for table in tables.get(key, ()) if table is not None and table.rows]
        if mine or grids or key == "controls":
            sections.append(Section(key, title, short, mine, grids, notes.get(key, ())))
    return sections
