"""Ask the hub for the commits behind branches, and write them into tables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convergent.errors import ConvergentError, TableError, WeightsError
from convergent.models import parse_reference, source
from convergent.store import publish
from convergent.study.rows import (
    CHECKPOINT_COLUMNS,
    CHECKPOINT_OPTIONAL,
    MODEL_COLUMNS,
    MODEL_OPTIONAL,
)
from convergent.study.tables import Row, read_rows


@dataclass(frozen=True, slots=True)
class TableText:
    """A table as it lies on disk, to be written back with other revisions.

    Attributes
    ----------
    path : Path
    lines : tuple of str
        With their line ends.
    header : tuple of str
        Column names.
    header_line : int
        Number of the header's line, from 1.
    """

    path: Path
    lines: tuple[str, ...]
    header: tuple[str, ...]
    header_line: int

    def with_cells(self, column: str, cells: Mapping[int, str]) -> str:
        """Text with other cells in one column.

        Parameters
        ----------
        column : str
            Added at the end if the table does not have it.
        cells : mapping of int to str
            New cells by line number, from 1.
        """
        lines = list(self.lines)
        if not cells:
            return "".join(lines)
        if column in self.header:
            place = self.header.index(column)
        else:
            place = len(self.header)
            lines[self.header_line - 1] = _changed(lines[self.header_line - 1], place, column)
        for number, cell in cells.items():
            lines[number - 1] = _changed(lines[number - 1], place, cell)
        return "".join(lines)

    def write(self, text: str) -> None:
        """Replace the file whole or not at all."""
        with (
            publish(self.path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            file.write(text)


def read_table_text(path: Path) -> TableText:
    """Read a table's lines; the study's reader is what checks them.

    Raises
    ------
    TableError
        There is no file, or a quoted cell: tabs inside of it would be taken for borders.
    """
    if not path.is_file():
        raise TableError("no such table", where=str(path), fix="name a TSV file")
    with path.open(encoding="utf-8", newline="") as file:
        lines = tuple(file.read().splitlines(keepends=True))
    for number, line in enumerate(lines, start=1):
        if '"' in line and not line.lstrip().startswith("#"):
            raise TableError(
                "a double quote", where=f"{path}, line {number}", fix="write the cell without it"
            )
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            header = tuple(name.strip() for name in line.rstrip("\r\n").split("\t"))
            return TableText(path, lines, header, number)
    raise TableError("the table is empty", where=str(path), fix="give at least a header")


def _changed(line: str, place: int, cell: str) -> str:
    body = line.rstrip("\r\n")
    cells = body.split("\t")
    cells += [""] * (place + 1 - len(cells))
    cells[place] = cell
    return "\t".join(cells) + line[len(body) :]


MAIN = "main"
_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Pin:
    """One row whose commit the hub knows.

    Attributes
    ----------
    table : str
    line : int
    name : str
        Model, and checkpoint if the row is one.
    repository, branch : str
    old, new : str
        Revision in the table, and the one of the hub; ``new`` is empty where it was not had.
    reason : str
        Why it was not had.
    """

    table: str
    line: int
    name: str
    repository: str
    branch: str
    old: str
    new: str
    reason: str = ""

    def __str__(self) -> str:
        place = f"{self.name}: {self.repository}" + (
            "" if self.branch == MAIN else f"@{self.branch}"
        )
        if self.reason:
            return f"! {place}: {self.reason}"
        return f"~ {place}: {self.old[:12]} -> {self.new}" if self.old else f"+ {place}: {self.new}"


@dataclass(frozen=True, slots=True)
class PinReport:
    """What was asked of the hub.

    Attributes
    ----------
    pinned : tuple of Pin
        New commits.
    failed : tuple of Pin
        Rows that the hub has no commit for.
    kept : int
        Rows with a commit that were left alone, or that the hub confirmed.
    """

    pinned: tuple[Pin, ...]
    failed: tuple[Pin, ...]
    kept: int


@dataclass(frozen=True, slots=True)
class _Wanted:
    row: Row
    name: str
    repository: str
    branch: str
    old: str


def pin_tables(
    paths: Sequence[str | Path],
    *,
    update: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> PinReport:
    """Write the hub's commits into the ``revision`` column of models and checkpoints tables.

    Comments, order and every other cell stay as they are. Rows with a commit are left alone.

    Parameters
    ----------
    paths : sequence of path
        A checkpoint without a reference of its own has its model's, so that table is needed too.
    update : bool
        Also ask about rows with a commit, and renew those whose branch has moved.
    dry_run : bool
        Change no file.
    progress : callable, optional
        Called with the number of repositories asked about and their number.

    Returns
    -------
    PinReport
        A repository that cannot be had fails alone; the other rows are written.

    Raises
    ------
    TableError
        A table cannot be read, or a checkpoint's model is in none of them.
    WeightsError
        The hub may not be asked here.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        raise WeightsError(
            "HF_HUB_OFFLINE is set, and commits come from the hub",
            fix="run this where the network is, without that variable",
        )
    texts = [read_table_text(Path(path)) for path in paths]
    tables = [_rows(text) for text in texts]
    models = {
        row.text("model"): row
        for text, rows in zip(texts, tables, strict=True)
        if "checkpoint" not in text.header
        for row in rows
    }
    wanted = [[entry for row in rows if (entry := _wanted(row, models))] for rows in tables]
    asked = [[entry for entry in entries if update or not entry.old] for entries in wanted]
    commits = _commits({(e.repository, e.branch) for entries in asked for e in entries}, progress)
    pinned: list[Pin] = []
    failed: list[Pin] = []
    for text, entries in zip(texts, asked, strict=True):
        pins = [_pin(entry, commits[entry.repository, entry.branch]) for entry in entries]
        failed += [pin for pin in pins if pin.reason]
        new = [pin for pin in pins if pin.new and pin.new != pin.old]
        pinned += new
        if new and not dry_run:
            text.write(text.with_cells("revision", {pin.line: pin.new for pin in new}))
    kept = sum(map(len, wanted)) - len(pinned) - len(failed)
    return PinReport(tuple(pinned), tuple(failed), kept)


def _rows(text: TableText) -> list[Row]:
    if "checkpoint" in text.header:
        return read_rows(text.path, CHECKPOINT_COLUMNS, CHECKPOINT_OPTIONAL)
    return read_rows(text.path, MODEL_COLUMNS, MODEL_OPTIONAL)


def _wanted(row: Row, models: dict[str, Row]) -> _Wanted | None:
    """What to ask for a row; nothing if its weights are not on the hub, or are its model's."""
    name, branch = row.text("model"), row.values.get("branch", "")
    reference, model = row.values.get("reference", ""), row
    if "checkpoint" in row.values:
        model = models.get(name, row)
        own = model.values.get("reference", "")
        if not branch and reference in ("", own if model is not row else ""):
            return None
        if not reference and not own:
            raise row.error(
                "model",
                f"the reference of model '{name}' is needed",
                "name the table of that model too, or fill in 'reference'",
            )
        reference, name = reference or own, f"{name} {row.text('checkpoint')}"
    repository = _repository(reference, model, row)
    if not repository:
        return None
    revision = row.values.get("revision", "")
    if revision and not _COMMIT.fullmatch(revision):
        raise row.error(
            "revision",
            f"'{revision}' is no commit",
            "empty the cell; a checkpoints table has a column 'branch' for the name of a branch",
        )
    return _Wanted(row, name, repository, branch or MAIN, revision)


def _repository(reference: str, model: Row, row: Row) -> str:
    kind = model.values.get("source", "")
    if kind == "baseline":
        return ""
    parsed = parse_reference(reference, row.where("reference"))
    if parsed.kind == "hub":
        return parsed.value
    if parsed.kind == "tag":
        return source(kind).hub_id(model.values.get("architecture", ""), parsed.value)
    return ""


def _pin(entry: _Wanted, found: tuple[str, str]) -> Pin:
    commit, reason = found
    return Pin(
        table=entry.row.file,
        line=entry.row.line,
        name=entry.name,
        repository=entry.repository,
        branch=entry.branch,
        old=entry.old,
        new=commit,
        reason=reason,
    )


def _commits(
    wanted: set[tuple[str, str]], progress: Callable[[int, int], None] | None
) -> dict[tuple[str, str], tuple[str, str]]:
    """Commit, or the reason why there is none, of each (repository, branch)."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    repositories = sorted({repository for repository, _ in wanted})
    for done, repository in enumerate(repositories):
        if progress is not None:
            progress(done, len(repositories))
        branches = {branch for name, branch in wanted if name == repository}
        try:
            known = _ask(repository, branches)
        except ConvergentError as error:
            found |= {(repository, branch): ("", str(error)) for branch in branches}
            continue
        for branch in branches:
            commit = known.get(branch, "")
            reason = "" if commit else f"no branch '{branch}'"
            found[repository, branch] = commit, reason
    return found


def _ask(repository: str, branches: set[str]) -> dict[str, str]:
    """Commits by branch; one question a repository."""
    import huggingface_hub

    api = huggingface_hub.HfApi()
    try:
        if branches == {MAIN}:
            known = {MAIN: str(api.model_info(repository).sha)}
        else:
            refs = api.list_repo_refs(repository).branches
            known = {ref.name: str(ref.target_commit) for ref in refs}
    # HTTP, connection and validation errors of many kinds; all mean that there is no answer.
    except Exception as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"the hub gives no answer ({first})") from error
    wrong = [commit for commit in known.values() if not _COMMIT.fullmatch(commit)]
    if wrong:
        raise TableError(f"the hub's commit '{wrong[0]}' has not 40 digits")
    return known
