"""What is different between two versions of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convergent.zoo._rows import Key

Cells = Mapping[Key, Mapping[str, str]]


@dataclass(frozen=True)
class TableDiff:
    """Differences by key; the order of rows and columns does not count.

    Attributes
    ----------
    added, removed : tuple of keys
    changed : dict of key to dict of column to (old, new)
    unchanged : int
        Number of rows that are the same.
    """

    added: tuple[Key, ...]
    removed: tuple[Key, ...]
    changed: dict[Key, dict[str, tuple[str, str]]]
    unchanged: int

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    @property
    def counts(self) -> str:
        """One line of numbers."""
        return (
            f"{len(self.added)} added, {len(self.removed)} removed, "
            f"{len(self.changed)} changed, {self.unchanged} unchanged"
        )

    def lines(self, most: int | None = None) -> list[str]:
        """Describe each difference in a line.

        Parameters
        ----------
        most : int, optional
            So many lines of each kind; the rest is counted.
        """
        changed = [
            f"~ {' '.join(key)}: {column} '{old}' -> '{new}'"
            for key, cells in self.changed.items()
            for column, (old, new) in cells.items()
        ]
        kinds = (
            ("+", [f"+ {' '.join(key)}" for key in self.added]),
            ("-", [f"- {' '.join(key)}" for key in self.removed]),
            ("~", changed),
        )
        shown: list[str] = []
        for sign, lines in kinds:
            shown += lines if most is None else lines[:most]
            if most is not None and len(lines) > most:
                shown.append(f"{sign} ... and {len(lines) - most} more")
        return shown


def diff_tables(old: Cells, new: Cells) -> TableDiff:
    """Compare two tables by key, as `read_cells` gives them.

    A column that one table lacks counts as empty there.
    """
    changed: dict[Key, dict[str, tuple[str, str]]] = {}
    both = [key for key in new if key in old]
    for key in both:
        columns = dict.fromkeys([*old[key], *new[key]])
        pairs = {name: (old[key].get(name, ""), new[key].get(name, "")) for name in columns}
        cells = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
        if cells:
            changed[key] = cells
    return TableDiff(
        added=tuple(key for key in new if key not in old),
        removed=tuple(key for key in old if key not in new),
        changed=changed,
        unchanged=len(both) - len(changed),
    )
