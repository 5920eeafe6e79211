"""Make the published tables from figures, and say what is different from the old ones."""

from __future__ import annotations

import csv
import importlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Protocol, cast

from convergent.errors import DataError, UnknownKeyError, WeightsError, did_you_mean
from convergent.models import parse_reference
from convergent.study.types import Checkpoint, Model
from convergent.zoo.rows import (
    CheckpointRow,
    ScoreRow,
    TableDiff,
    TableRow,
    diff_tables,
    key_of,
    read_cells,
    write_table,
)

_ORIGIN = re.compile(r"^- (?P<files>[^:]+): (?P<repository>[\w.-]+/[\w.-]+), (?P<folder>[\w./-]+)")
_COMMIT = re.compile(r"\bcommit ([0-9a-f]{40})\b")


@dataclass(frozen=True)
class Figures:
    """A folder of figures.

    Attributes
    ----------
    folder : Path
        Holds the files and ``SOURCE.md``, with a line ``- <files>: <owner/repository>,
        <folder>/, commit <40 digits>`` for each group of files.
    """

    folder: Path

    def rows(self, name: str) -> list[dict[str, str]]:
        """Rows of a CSV file.

        Raises
        ------
        DataError
            The file is missing or has no rows.
        """
        path = self.folder / name
        if not path.is_file():
            raise DataError(
                "no such file of figures", where=str(path), fix="name their folder with --figures"
            )
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        if not rows:
            raise DataError("the file has no rows", where=str(path))
        return rows

    def origin(self, name: str) -> str:
        """Where a file is from: file, repository, commit and folder, for the source column.

        Raises
        ------
        DataError
            ``SOURCE.md`` is missing or does not name the file with its commit.
        """
        path = self.folder / "SOURCE.md"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        for line in lines:
            found, commit = _ORIGIN.match(line), _COMMIT.search(line)
            if not found or not commit:
                continue
            patterns = [part.strip() for part in found["files"].split(",")]
            if any(fnmatch(name, pattern) for pattern in patterns):
                place = f"{found['repository']}@{commit[1]}/{found['folder'].strip('/')}"
                return f"{name} of {place}"
        raise DataError(
            f"'{name}' has no source", where=str(path), fix="add a line with repository and commit"
        )


# Each module has a function `build(figures, jobs, wanted, progress)`.
_BUILDERS = {
    "timm": "convergent.zoo.timm",
    "open_clip": "convergent.zoo.open_clip",
    "language": "convergent.zoo.language",
    "pythia": "convergent.zoo.pythia",
}
Progress = Callable[[int, int], None]
Wanted = Callable[[str], bool]


@dataclass(frozen=True)
class Table:
    """A table to be.

    Attributes
    ----------
    file : str
        Name in the folder of tables.
    rows : list of rows of one kind
    comment : str
        Lines above the header.
    """

    file: str
    rows: Sequence[TableRow]
    comment: str


@dataclass(frozen=True)
class Built:
    """Tables from one source, and the models that the figures name and the tables lack.

    Attributes
    ----------
    tables : tuple of Table
    left_out : dict of str to str
        Reason by name.
    """

    tables: tuple[Table, ...]
    left_out: dict[str, str]


class _Builder(Protocol):
    def __call__(
        self, figures: Figures, jobs: int, wanted: Wanted | None, progress: Progress | None
    ) -> Built: ...


def builder_names() -> list[str]:
    """Names of the sources that tables are built for."""
    return sorted(_BUILDERS)


def build(
    name: str,
    figures: Figures,
    *,
    jobs: int = 1,
    wanted: Wanted | None = None,
    progress: Progress | None = None,
) -> Built:
    """Build the tables of one source.

    Parameters
    ----------
    name : {"timm", "open_clip", "language", "pythia"}
    figures : Figures
    jobs : int
        Processes.
    wanted : callable, optional
        Takes a model's name in the figures, and says whether it is built; all are by default.
    progress : callable, optional
        Called with the number of networks inspected and their number.

    Raises
    ------
    UnknownKeyError
        There is no such source.
    DataError
        Figures are missing, or have no source.
    """
    if name not in _BUILDERS:
        raise UnknownKeyError(
            f"no tables are built for '{name}'", fix=did_you_mean(name, _BUILDERS)
        )
    builder = importlib.import_module(_BUILDERS[name]).build
    return cast(_Builder, builder)(figures, jobs, wanted, progress)


def write_tables(built: Built, folder: Path) -> dict[str, TableDiff]:
    """Write tables, with the revisions that were already pinned, and compare with the old ones.

    Returns
    -------
    dict of str to TableDiff
        By file.
    """
    differences = {}
    for table in built.tables:
        path, kind = folder / table.file, type(table.rows[0])
        old = read_cells(path, kind)
        rows = [_with_pin(row, old.get(key_of(row))) for row in table.rows]
        write_table(path, rows, table.comment)
        differences[table.file] = diff_tables(old, read_cells(path, kind))
    return differences


def _with_pin(row: TableRow, old: dict[str, str] | None) -> TableRow:
    # Figures name no commits; those that `models pin` found stay with reference and branch.
    if isinstance(row, ScoreRow) or row.revision or old is None:
        return row
    if old.get("reference", "") != row.reference:
        return row
    if isinstance(row, CheckpointRow) and old.get("branch", "") != row.branch:
        return row
    return replace(row, revision=old.get("revision", ""))


# Word of a tag to the data that it stands for.
_DATA = {
    "in1k": "in1k", "in21k": "in21k", "in22k": "in21k", "in12k": "in12k",
    "laion2b": "laion2b", "laiona": "laion-aesthetic", "laion400m": "laion400m",
    "laion5b": "laion5b", "openai": "wit400m", "jft": "jft300m", "ig1b": "ig1b",
    "swag": "ig3.6b", "seer": "ig1b", "yfcc100m": "yfcc100m", "yfcc15m": "yfcc15m",
    "webli": "webli", "cc12m": "cc12m", "m30m": "merged30m", "m38m": "merged38m",
    "merged2b": "merged2b", "datacomp": "datacomp", "commonpool": "commonpool",
    "dfn2b": "dfn2b", "dfn5b": "dfn5b", "metaclip": "metaclip", "mscoco": "coco",
    "inat21": "inat21",
}  # fmt: skip
_WITH_COCO = {"merged30m", "merged38m", "coco"}
_NAMED = {"in1k", "in12k", "in21k", "inat21", *_WITH_COCO}
# Towers of EVA-CLIP start from networks trained on the merged data sets, the fine-tuned giant
# from such a tower; BEiT-3 read COCO's images with their captions (arXiv:2208.10442, table 2).
_COCO_BY_START = re.compile(r"EVA01-g|EVA02-L|eva_giant_patch14_\w*\.clip|beit3_")


def training_tags(name: str, tag: str) -> tuple[str, ...]:
    """Training data of a model, and ``coco`` or ``coco-unknown`` where it applies.

    Parameters
    ----------
    name : str
        Architecture, with the tag for models of timm.
    tag : str
        The part of the name that says how the weights were made.

    Returns
    -------
    tuple of str
        ``coco-unknown`` alone if the tag names no data.
    """
    words = re.split(r"[_-]", tag)
    data = list(dict.fromkeys(_DATA[word] for word in map(_known, words) if word))
    if set(data) & _WITH_COCO or _COCO_BY_START.match(name):
        return (*(item for item in data if item != "coco"), "coco")
    if not data or set(data) - _NAMED:
        return (*data, "coco-unknown")
    return tuple(data)


def _known(word: str) -> str:
    if word in _DATA:
        return word
    # 'datacomp1b' and 'laion2B' are written in several ways
    starts = [known for known in _DATA if len(known) > 5 and word.lower().startswith(known)]
    return max(starts, key=len, default="")


def unpinned(models: Iterable[Model]) -> list[tuple[Model, Checkpoint]]:
    """Checkpoints on the hub without a commit."""
    return [
        (model, checkpoint)
        for model in models
        for checkpoint in model.checkpoints
        if not model.is_control and _is_unpinned(checkpoint)
    ]


def unpinned_mistake(models: Iterable[Model]) -> WeightsError | None:
    """One error for all checkpoints without a commit, or None if there are none.

    Its message names the command that writes the commits.
    """
    found = unpinned(models)
    if not found:
        return None
    model, checkpoint = found[0]
    tables = sorted({of.source_location.partition(", line")[0] for of, _ in found})
    return WeightsError(
        f"{len(found)} checkpoint(s) of {len({of.key for of, _ in found})} model(s) have no "
        f"pinned commit (first: model '{model.key}', checkpoint '{checkpoint.name}')",
        where=", ".join(table for table in tables if table) or None,
        fix="where the network is, run `convergent models pin <table> ...` over the models and "
        "checkpoints tables, or exclude these models",
    )


def _is_unpinned(checkpoint: Checkpoint) -> bool:
    if parse_reference(checkpoint.reference).kind not in ("hub", "tag"):
        return False
    return re.fullmatch(r"[0-9a-f]{40}", checkpoint.revision) is None
