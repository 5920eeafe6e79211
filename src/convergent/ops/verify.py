"""Which files of a study are not what they should be, and what to run again.

Stores say which settings they are of (identity) and what they were made from (fingerprints). Both
are compared with the study as it is now, and every member's CRC-32 with its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from convergent.errors import StoreError
from convergent.ops import records
from convergent.ops.folder_listing import Found, is_there, listed
from convergent.ops.gc import orphans
from convergent.store import Inspected, Sources, StoreRequest, inspect_store
from convergent.study import Study
from convergent.study.graph import MODEL_TABLES, SHARED, Keys
from convergent.tables.files import inspect_table
from convergent.tables.frames import family_request


class _File(NamedTuple):
    """A file that is there, the stage that wrote it, and what must be in it."""

    path: str
    stage: str
    keys: Keys


Kind = Literal["missing", "damaged", "settings", "inputs"]

_AT_ONCE = 64
_LAYER = ("dataset", "model", "checkpoint", "layer")
_TABLES = ("train", "weights", "evaluate", "ceilings", "representations", "measure", "family",
           "correlate")  # fmt: skip
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """A file that is not what it should be.

    Attributes
    ----------
    kind : {"missing", "damaged", "settings", "inputs"}
        Not there; not readable; of other settings than the study's; made from other files than
        those that are there.
    path : str
    what : str
    model : str
        Whose table is made from it; empty where that is no one model's.
    """

    kind: Kind
    path: str
    what: str
    model: str = ""


@dataclass(frozen=True)
class Verified:
    """What `verify` found.

    Attributes
    ----------
    findings : list of Finding
    checked : int
        Files that were read.
    notes : list of str
        What could not be compared.
    orphans : list of str
        Files of models, families, subjects or data sets that the study does not have (any more).
    """

    findings: list[Finding]
    checked: int
    notes: list[str]
    orphans: list[str]


def verify(
    study: Study,
    family: str | None = None,
    *,
    quick: bool = False,
    threads: int = 4,
    tick: Callable[[int, int], None] | None = None,
) -> Verified:
    """Read a study's files and compare them with the study.

    Parameters
    ----------
    study : Study
    family : str, optional
        Only this family, besides the data that it was compared with.
    quick : bool
        Read descriptions only, not every byte.
    threads : int
    tick : callable, optional
        Told how many files have been read, and how many there are.

    Raises
    ------
    UnknownKeyError
        No such family.
    """
    return _Verifier(study, family, quick, threads, tick).run()


class _Verifier:
    def __init__(
        self,
        study: Study,
        family: str | None,
        quick: bool,
        threads: int,
        tick: Callable[[int, int], None] | None,
    ) -> None:
        self.study, self.quick, self.threads, self.tick = study, quick, threads, tick
        self.models = list(study.models) if family is None else study.family(family)
        shared = () if family is None else study.graph.jobs_of(SHARED)
        self.jobs = [*shared, *study.graph.jobs_of(family)]
        self.whole = family is None
        self.found: Found = listed(study.paths.root, without=("figures", "logs"))
        self.findings: list[Finding] = []
        self.seen: dict[str, Inspected] = {}
        self.sources = Sources(study)
        # of a layer's subjects, who are neighbours here, the identities are the same
        self.of_layer = lru_cache(256)(self._of_layer)
        self.settings: set[str] = set()  # sources of other settings than the study's
        self.read = self.planned = self.alone = 0

    def run(self) -> Verified:
        tables = self._files(*_TABLES)
        sources = self._files("stimuli", "responses", "extract")
        fits = self._files("fit")
        self.planned = len(tables) + len(sources) + len(fits)
        self._all(tables, self._table)
        self._all(sources, self._source)
        self._other_stimuli(sources)
        self._all(fits, self._fit)
        self._missing()
        notes = records.notes(self.study, self.found)[:1] if self.whole else []
        if self.alone:
            notes.append(
                f"{self.alone:,} alignment stores were not compared with what they were made from, "
                "which is not there any more"
            )
        order = {path: number for number, path in enumerate(self._order())}
        self.findings.sort(key=lambda one: order.get(one.path, len(order)))
        gone = orphans(self.study, self.found) if self.whole else []
        return Verified(self.findings, self.read, notes, gone)

    def _files(self, *stages: str) -> list[_File]:
        """Files of some stages that are there."""
        return [
            _File(path, job.stage, keys)
            for job in self.jobs
            if job.stage in stages
            for path, keys in self.study.graph.files(job.stage, job.keys)
            if is_there(self.found, path)
        ]

    def _order(self) -> Iterator[str]:
        paths = {one.path for one in self.findings}
        return (path for job in self.jobs for path in job.outputs if path in paths)

    def _all(self, items: Sequence[T], check: Callable[[T], None]) -> None:
        """Check many at once; a few hundred thousand need no task each."""

        def several(first: int) -> int:
            part = items[first : first + _AT_ONCE]
            for item in part:
                check(item)
            return len(part)

        with ThreadPoolExecutor(self.threads) as pool:
            for number in pool.map(several, range(0, len(items), _AT_ONCE)):
                self.read += number
                if self.tick is not None:
                    self.tick(self.read, self.planned)

    # ---- checks of one file -----------------------------------------------------------------

    def _table(self, file: _File) -> None:
        try:
            said = inspect_table(file.path, quick=self.quick)
        except StoreError as error:
            self.findings.append(Finding("damaged", file.path, error.what))
            return
        if file.stage == "family":
            table = Path(file.path).parent.name.partition("-")[2] or "measurements"
            self._compare(family_request(self.study, file.keys["family"], table), said)
        else:
            self._compare(StoreRequest.of(self.study, file.stage, file.keys, path=file.path), said)

    def _inspect(self, file: _File) -> Inspected | None:
        try:
            return inspect_store(file.path, quick=self.quick)
        except StoreError as error:
            model = file.keys.get("model", "")
            self.findings.append(Finding("damaged", file.path, error.what, model))
            return None

    def _compare(self, request: StoreRequest, said: Mapping[str, Any]) -> bool:
        """Whether a file is what the study asks for."""
        different = request.difference(said)
        if different is not None:
            model = request.keys.get("model", "")
            self.settings.add(request.path)
            self.findings.append(Finding(different.kind, request.path, different.what, model))
        return different is None

    def _source(self, file: _File) -> None:
        found = self._inspect(file)
        if found is None:
            return
        digest = {"stimuli_sha256": found.attrs.get("stimuli_sha256")}
        self.seen[file.path] = Inspected(digest, found.fingerprint)
        self.sources.remember(file.path, found.fingerprint)
        made_from = self.sources.features(file.keys) if file.stage == "extract" else {}
        request = StoreRequest.of(
            self.study, file.stage, file.keys, path=file.path, made_from=made_from
        )
        self._compare(request, found.attrs)

    def _other_stimuli(self, files: Sequence[_File]) -> None:
        """Find features and responses of another stimulus set than the one that is there."""
        for one in files:
            stimuli = self.seen.get(self.study.paths.stimuli(one.keys["dataset"]))
            found = self.seen.get(one.path)
            if stimuli and found and one.path not in self.settings and found.attrs != stimuli.attrs:
                self.settings.add(one.path)
                what = "it was made from other stimuli than those there now"
                self.findings.append(Finding("inputs", one.path, what, one.keys.get("model", "")))

    def _fit(self, file: _File) -> None:
        found = self._inspect(file)
        if found is None:
            return
        paths, layer = self.study.paths, tuple(file.keys[name] for name in _LAYER)
        dataset, subject = file.keys["dataset"], file.keys["subject"]
        sources = {
            "features": paths.features(*layer),
            "responses": paths.responses(dataset, subject),
            "stimuli": paths.stimuli(dataset),
        }
        request = self.of_layer(layer).for_subject(self.study, subject, self.sources)
        # a source that is wrong itself is going to be another one
        wrong = {name: "" for name, path in sources.items() if path in self.settings}
        made_from = {**request.made_from, **wrong}
        alone = not sources.keys() <= made_from.keys()
        if self._compare(replace(request, made_from=made_from), found.attrs) and alone:
            self.alone += 1

    def _of_layer(self, layer: tuple[str, ...]) -> StoreRequest:
        keys = dict(zip(_LAYER, layer, strict=True))
        subjects = self.study.dataset(keys["dataset"]).subjects
        return StoreRequest.of(self.study, "fit", {**keys, "subject": subjects[0]})

    # ---- what is not there ------------------------------------------------------------------

    def _missing(self) -> None:
        """Find files that others were made from, or that one job made with others."""
        made = {
            model: any(is_there(self.found, path) for path in self._tables_of(model))
            for model in self.models
        }
        for job in self.jobs:
            absent = [path for path in job.outputs if not is_there(self.found, path)]
            if job.stage == "report" or not absent:
                continue
            model = job.keys["model"] if job.stage == "fit" else ""
            partly = len(absent) < len(job.outputs) and job.stage != "extract"
            if job.stage == "fit" and made.get(model, False):
                what = "missing, though the model's tables were made from it"
            elif partly:
                what = "missing, though its job made other files"
            else:
                continue
            self.findings += [Finding("missing", path, what, model) for path in absent]

    def _tables_of(self, model: str) -> list[str]:
        return [self.study.paths.model(model, table) for table in MODEL_TABLES]


@dataclass(frozen=True)
class Mending:
    """What makes a study sound again.

    Attributes
    ----------
    targets : list of str
        One file a job that must run: Snakemake's targets.
    bad : list of str
        Files that are there and should not be.
    derived : list of str
        Tables and report that were made from bad or missing alignment, and are there.
    """

    targets: list[str]
    bad: list[str]
    derived: list[str]


def mending(study: Study, findings: Sequence[Finding]) -> Mending:
    """Say what must be run again and what is in its way.

    Notes
    -----
    Snakemake does not make a file again that is missing while what was made from it is there: the
    tables of an alignment that is wrong have to go too. Features are another matter: they are
    made again when a fit needs them.
    """
    paths = {one.path for one in findings}
    targets = []
    for job in study.graph.jobs if findings else ():
        wrong = next((path for path in job.outputs if path in paths), None)
        if wrong is not None:
            targets.append(wrong)
    bad = [one.path for one in findings if one.kind != "missing"]
    derived = [path for path in _derived(study, findings) if Path(path).is_file()]
    return Mending(targets, bad, [path for path in derived if path not in paths])


def _derived(study: Study, findings: Iterable[Finding]) -> list[str]:
    paths, root = study.paths, study.paths.root
    wrong = [one for one in findings if one.path.startswith(f"{root}/alignment/")]
    models = dict.fromkeys(one.model for one in wrong)
    families = dict.fromkeys(study.model(model).family for model in models)
    found = [paths.model(model, table) for model in models for table in MODEL_TABLES]
    tables = [one for one in findings if one.path.endswith((".parquet", ".tsv"))]
    for one in tables:  # a table of a model that cannot be read: its family's is of it
        name = one.path.rpartition("/")[2].rpartition(".")[0]
        if one.path in {paths.model(name, table) for table in MODEL_TABLES}:
            families[study.model(name).family] = None
    found += [paths.family(family, table) for family in families for table in MODEL_TABLES]
    if wrong or tables:
        found += [paths.table(name) for name in study.tables()]
        found += [paths.about, paths.report]
        found += [paths.cube(dataset) for dataset in study.config.datasets]
    return list(dict.fromkeys(found))


def remove(findings: Sequence[Finding], what: Mending) -> int:
    """Remove bad files, what was made from them, and second names of damaged ones.

    Returns
    -------
    int
        Names that were removed.
    """
    damaged = [Path(one.path) for one in findings if one.kind == "damaged"]
    names = [Path(path) for path in (*what.derived, *what.bad)]
    # beside an alignment store lies a link to it, which later fits take metrics from
    names += [path.with_name(f".{path.name}") for path in damaged]
    number = 0
    for path in names:
        if path.exists():
            path.unlink()
            number += 1
    return number
