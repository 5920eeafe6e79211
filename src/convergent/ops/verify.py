"""Which files of a study are not what they should be, and what to run again.

Stores say which settings they are of (identity) and what they were made from (fingerprints). Both
are compared with the study as it is now, and every member's CRC-32 with its bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from convergent.errors import StoreError
from convergent.ops import records
from convergent.ops.folder_listing import Found, is_there, listed
from convergent.ops.gc import orphans
from convergent.store import fingerprint
from convergent.store.inspection import Seen, see, see_table
from convergent.store.recorded import FitIdentity
from convergent.study import Study
from convergent.study.graph import MODEL_TABLES, SHARED, Keys


@dataclass(frozen=True, slots=True)
class Item:
    """A store to be read: its stage, and what must be in it."""

    path: str
    stage: str
    keys: Keys

    @property
    def kind(self) -> str:
        """What the store must hold."""
        return {"extract": "features", "fit": "alignment"}.get(self.stage, self.stage)

    @property
    def model(self) -> str:
        """Its model; empty for stimuli and responses."""
        return self.keys.get("model", "")


Kind = Literal["missing", "damaged", "settings", "inputs"]

_AT_ONCE = 64
_TABLES = ("train", "weights", "evaluate", "ceilings", "measure", "family", "correlate", "report")
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
        self.seen: dict[str, Seen] = {}
        self.records: dict[str, str] = {}  # hash of weights by manifest
        self.settings: set[str] = set()  # sources of other settings than the study's
        self.read = self.planned = self.alone = 0

    def run(self) -> Verified:
        tables = [
            path
            for job in self.jobs
            if job.stage in _TABLES and job.stage != "report"
            for path in job.outputs
            if is_there(self.found, path)
        ]
        sources = self._items("stimuli", "responses", "extract")
        fits = self._items("fit")
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

    def _items(self, *stages: str) -> list[Item]:
        """Stores of some stages that are there."""
        return [
            Item(path, job.stage, keys)
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

    def _table(self, path: str) -> None:
        try:
            record = see_table(path, quick=self.quick)
        except StoreError as error:
            self.findings.append(Finding("damaged", path, error.what))
            return
        if isinstance(record.get("sha256"), str):
            self.records[path] = record["sha256"]

    def _see(self, item: Item) -> Seen | None:
        try:
            return see(item.path, item.kind, quick=self.quick)
        except StoreError as error:
            self.findings.append(Finding("damaged", item.path, error.what, item.model))
            return None

    def _source(self, item: Item) -> None:
        seen = self._see(item)
        if seen is None:
            return
        self.seen[item.path] = Seen(
            {key: seen.attrs.get(key) for key in ("stimuli_sha256",)}, seen.fingerprint
        )
        wanted = self.study.graph.identity(item.stage, item.keys)
        if item.stage == "extract":
            wanted = self.study.identity("extract", **item.keys)
        if seen.attrs.get("identity") != wanted:
            self._differs("settings", item, "computed with other settings than the study's")
        elif item.kind == "features":
            weights = self.study.paths.weights(item.keys["model"], item.keys["checkpoint"])
            manifest = self.records.get(weights)
            if manifest is not None and seen.attrs.get("weights_sha256") != manifest:
                self._differs("inputs", item, "made with other weights than those recorded now")

    def _other_stimuli(self, sources: Sequence[Item]) -> None:
        """Find features and responses of another stimulus set than the one that is there."""
        for item in sources:
            stimuli = self.seen.get(self.study.paths.stimuli(item.keys["dataset"]))
            seen = self.seen.get(item.path)
            if stimuli and seen and item.path not in self.settings and seen.attrs != stimuli.attrs:
                self._differs("inputs", item, "made from other stimuli than those there now")

    def _differs(self, kind: Kind, item: Item, what: str) -> None:
        self.settings.add(item.path)
        self.findings.append(Finding(kind, item.path, what, item.model))

    def _fit(self, item: Item) -> None:
        seen = self._see(item)
        if seen is None:
            return
        study, paths = self.study, self.study.paths
        keys = {key: value for key, value in item.keys.items() if key != "subject"}
        if not FitIdentity.of(study, **keys).is_of(seen.attrs):
            what = "computed with other settings than the study's"
            self.findings.append(Finding("settings", item.path, what, item.model))
            return
        made_from = seen.attrs.get("made_from") or {}
        sources = {
            "features": paths.features(*keys.values()),
            "responses": paths.responses(keys["dataset"], item.keys["subject"]),
            "stimuli": paths.stimuli(keys["dataset"]),
        }
        there = {name: path for name, path in sources.items() if path in self.seen}
        changed = [
            name
            for name, path in there.items()
            if made_from.get(name) != self.seen[path].fingerprint
        ]
        changed += [name for name, path in there.items() if path in self.settings]
        if not changed and self._other_nuisance(item, seen):
            changed = ["nuisance features"]
        if changed:
            what = f"made from other {' and '.join(dict.fromkeys(changed))} than the study's now"
            self.findings.append(Finding("inputs", item.path, what, item.model))
        elif len(there) < len(sources):
            self.alone += 1

    def _other_nuisance(self, item: Item, seen: Seen) -> bool:
        """Whether the metric ``unique`` is of other baselines' features than those there now."""
        metric = (seen.attrs.get("metrics") or {}).get("unique")
        if metric is None:
            return False
        recorded = str(metric.get("identity", "")).split()[1:]
        now = []
        for path in self.study.nuisance_files(item.keys["dataset"]):
            try:
                now.append(self.seen[path].fingerprint if path in self.seen else fingerprint(path))
            except StoreError:
                return False
        return recorded != now

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
