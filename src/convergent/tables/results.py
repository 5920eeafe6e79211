"""Results of a study as files: its tables, found from its configuration or in a directory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from convergent.errors import StoreError
from convergent.study import Study
from convergent.study.paths import Paths
from convergent.tables.schemas import SCHEMAS


@dataclass(frozen=True)
class Results:
    """Tables of a study that exist.

    Attributes
    ----------
    name : str
        As it was asked for.
    paths : Paths
    families : tuple of str
        Families whose measurements are there.
    absent : tuple of str
        Families of the study that have not run.
    stale : tuple of str
        Files of families that the study does not have: they are left out.
    about : dict
        What the study-wide tables were made from; empty before there are any.
    """

    name: str
    paths: Paths
    families: tuple[str, ...]
    absent: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)

    def parts(self, table: str) -> list[str]:
        """Files of one table, which are several for measurements and alignment."""
        if table in SCHEMAS:
            files = [self.paths.family(family, table) for family in self.families]
            return [path for path in files if Path(path).is_file()]
        path = self.paths.table(table)
        return [path] if Path(path).is_file() else []

    def tables(self) -> dict[str, list[str]]:
        """Files of every table that exists, the largest tables first."""
        found = sorted(Path(self.paths.table("x")).parent.glob("*.parquet"))
        names = [*SCHEMAS, *(path.stem for path in found if path.stem not in SCHEMAS)]
        return {name: parts for name in names if (parts := self.parts(name))}


def results_of(study: Study) -> Results:
    """Find the results of a study.

    Raises
    ------
    StoreError
        No family has run.
    """
    return _results(study.file, study.paths, list(study.families))


def results_in(directory: str | Path) -> Results:
    """Find the results in a directory ``results/<study>``.

    Without the record of what the study-wide tables were made from, every family's file counts.

    Raises
    ------
    StoreError
        There are none.
    """
    if not Path(directory).is_dir():
        raise StoreError(
            "no such directory of results",
            where=str(directory),
            fix="name results/<study>, or the study's YAML file",
        )
    paths = Paths(str(directory))
    return _results(str(directory), paths, None)


def results_at(target: str) -> Results:
    """Find the results that a directory, or a study's YAML file, names.

    Raises
    ------
    StoreError, ConfigError, TableError
    """
    if Path(target).suffix in (".yaml", ".yml"):
        return results_of(Study.load(target))
    return results_in(target)


def _results(name: str, paths: Paths, planned: list[str] | None) -> Results:
    about = _about(paths.about)
    folder = Path(paths.family("x")).parent
    there = [path.stem for path in sorted(folder.glob("*.parquet"))]
    if not there:
        raise StoreError(
            "no family's measurements are there",
            where=str(folder),
            fix="run the study, or one family: snakemake " + paths.family("<family>"),
        )
    known = list(about["families"]) if planned is None and "families" in about else planned
    known = there if known is None else known
    return Results(
        name=name,
        paths=paths,
        families=tuple(family for family in known if family in there),
        absent=tuple(family for family in known if family not in there),
        stale=tuple(str(folder / f"{family}.parquet") for family in there if family not in known),
        about=about,
    )


def _about(path: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise StoreError(
            f"what the tables were made from is damaged ({error})",
            where=path,
            fix="delete it and rerun the rule correlate",
        ) from None
    return found
